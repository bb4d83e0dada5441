"""Objects -> bytes: what the official decoder reads is what was said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dialects.dialect import Out
from service.dialects.native import GenerateDialect
from service.framing import Ndjson, PlainText, Sse, encode_events
from tests import sse
from tests.service.fakes import accepted, delta, finished

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def body(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


@given(st.lists(TEXTS, max_size=8), st.booleans(), st.data())
def test_sse_reads_back_whatever_the_text_and_the_cuts(
    texts: list[str], has_ids: bool, data: st.DataObject
) -> None:
    framing = Sse(has_ids=has_ids, retry_ms=5)
    parts = []
    for seq, text in enumerate(texts, 1):
        parts += [framing.keepalive] * data.draw(st.integers(0, 2))
        parts.append(framing.frame(Out(body(text), "token"), seq))
    stream = b"".join([*parts, framing.keepalive])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    events = list(sse.decode(chunks))
    assert [json.loads(event.data)["text"] for event in events] == texts
    assert [event.id for event in events] == [str(i) if has_ids else None for i in range(1, len(texts) + 1)]
    assert [event.retry for event in events] == [5 if has_ids else None, *[None] * len(texts)][: len(texts)]


def test_sse_frames_to_the_byte() -> None:
    framing = Sse(has_ids=True, retry_ms=2_000)
    assert framing.frame(Out(b"{}", "start"), 1) == b"retry: 2000\nid: 1\nevent: start\ndata: {}\n\n"
    assert framing.frame(Out(b"{}"), 2) == b"id: 2\ndata: {}\n\n"
    assert framing.frame(Out(b"{}"), None) == b"data: {}\n\n"
    assert Sse(has_ids=False, retry_ms=2_000).frame(Out(b"[DONE]"), 3) == b"data: [DONE]\n\n"


def test_the_keepalive_has_one_newline() -> None:
    """A blank line after it would dispatch an empty event once an id was sent."""
    framing = Sse(has_ids=True, retry_ms=1)
    assert framing.keepalive == b": keep-alive\n"
    stream = framing.frame(Out(b"{}"), 1) + framing.keepalive * 3 + framing.frame(Out(b"{}"), 2)
    assert [event.data for event in sse.decode(stream)] == ["{}", "{}"]


@given(st.lists(TEXTS, max_size=8))
def test_ndjson_is_one_object_a_line(texts: list[str]) -> None:
    stream = b"".join(Ndjson().frame(Out(body(text), "token", text), None) for text in texts)
    assert [json.loads(line)["text"] for line in stream.split(b"\n")[:-1]] == texts
    assert Ndjson().keepalive == b""


def test_ndjson_leaves_out_what_is_no_json() -> None:
    cancelled = Out(b"Stream cancelled", "cancelled", is_json=False)
    assert Ndjson().frame(Out(b"[DONE]", is_json=False), 1) == b""
    assert json.loads(Ndjson().frame(cancelled, 1)) == {"status": "cancelled"}


@pytest.mark.parametrize("value", [b"null", b"3", b'"text"', b"[1,2]", b"{}"])
def test_ndjson_takes_any_json_value(value: bytes) -> None:
    """A task's items need not be objects."""
    assert Ndjson().frame(Out(value, "item"), 1) == value + b"\n"


@given(st.lists(st.text(max_size=10)))
def test_plain_text_is_the_text_alone(texts: list[str]) -> None:
    """Also of lone surrogates, which UTF-8 has no bytes for."""
    stream = b"".join(PlainText().frame(Out(b"{}", "token", text), None) for text in texts)
    assert stream == "".join(texts).encode("utf-8", "replace")


def test_only_the_last_object_of_an_event_has_its_id() -> None:
    """A reader that comes back has had all objects of the event, or gets all again."""

    class Pairs(GenerateDialect):
        def render(self, event: object) -> list[Out]:
            return [Out(b'{"part":1}'), Out(b'{"part":2}')]

    stream = encode_events([(1, delta("a")), (2, delta("b"))], Pairs("s"), Sse(has_ids=True, retry_ms=1))
    assert stream.count(b"id: ") == 2
    assert stream.startswith(b'data: {"part":1}\n\nretry: 1\nid: 1\ndata: {"part":2}\n\n')


def test_events_without_words_leave_no_bytes() -> None:
    events = [(None, delta("")), (1, accepted()), (2, finished())]
    stream = encode_events(events, GenerateDialect("s"), PlainText())
    assert stream == b""
