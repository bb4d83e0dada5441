"""Station "framing": objects -> SSE, NDJSON, plain text or websocket frames. Pure functions."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from service.dialects.dialect import Dialect, Out, encode
from service.events import StreamEvent


class Framing(ABC):
    """How objects become bytes; `keepalive` is what may stand between them when nothing is made."""

    media_type: ClassVar[str]
    keepalive: ClassVar[bytes] = b""

    @abstractmethod
    def frame(self, out: Out, seq: int | None) -> bytes:
        """One object; `seq` is set on the last one of its event, after which a reader may resume."""


class Sse(Framing):
    """Server-Sent Events (WHATWG HTML, section 9.2).

    The keep-alive is a comment with a single newline: a blank line after it would dispatch an empty
    event in the official OpenAI client once an id was sent. `retry:` travels with the first data.
    """

    media_type = "text/event-stream"
    keepalive = b": keep-alive\n"

    def __init__(self, *, has_ids: bool, retry_ms: int) -> None:
        self._has_ids = has_ids
        self._retry = b"retry: %d\n" % retry_ms if has_ids else b""

    def frame(self, out: Out, seq: int | None) -> bytes:
        event = b"event: %b\n" % out.event.encode() if out.event else b""
        if not self._has_ids or seq is None:
            return b"%bdata: %b\n\n" % (event, out.body)
        retry, self._retry = self._retry, b""
        return b"%bid: %d\n%bdata: %b\n\n" % (retry, seq, event, out.body)


class Ndjson(Framing):
    """One JSON value a line. `[DONE]` and other words that are no JSON are left out."""

    media_type = "application/x-ndjson"

    def frame(self, out: Out, seq: int | None) -> bytes:  # noqa: ARG002
        if out.is_json:
            return out.body + b"\n"
        return b'{"status":"%b"}\n' % out.event.encode() if out.event else b""


class PlainText(Framing):
    """The text alone."""

    media_type = "text/plain; charset=utf-8"

    def frame(self, out: Out, seq: int | None) -> bytes:  # noqa: ARG002
        # Lone surrogates cannot be sent; a tokenizer's text has none, a prompt given back may.
        return out.text.encode("utf-8", "replace")


class Messages(Framing):
    """Websocket messages: what SSE says in lines, as the fields of one object."""

    media_type = "websocket"

    def frame(self, out: Out, seq: int | None) -> bytes:
        head = {"type": "event", "id": seq, "event": out.event}
        body = out.body if out.is_json else encode(out.body.decode())
        return b'%b,"data":%b}' % (encode(head)[:-1], body)


def frames_of(
    events: Iterable[tuple[int | None, StreamEvent]], dialect: Dialect, framing: Framing
) -> list[bytes]:
    """What says `events` (pairs of seq and event) in one dialect and framing, object by object."""
    frames = []
    for seq, event in events:
        outs = dialect.render(event)
        if len(outs) == 1:
            frames.append(framing.frame(outs[0], seq))
        elif outs:
            frames += [framing.frame(out, None) for out in outs[:-1]]
            frames.append(framing.frame(outs[-1], seq))
    return frames


def encode_events(
    events: Iterable[tuple[int | None, StreamEvent]], dialect: Dialect, framing: Framing
) -> bytes:
    """All bytes of that."""
    return b"".join(frames_of(events, dialect, framing))
