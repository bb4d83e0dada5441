"""What every dialect is: one API's way to say a stream's events."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import json

from service.events import StreamEvent
from workers.messages import Usage

encode = json.Encoder().encode


class Out(NamedTuple):
    """One object on the wire: its bytes, the event's name on SSE, what it is as plain text.

    Without `is_json` the bytes are words of an API that have no place among JSON.
    """

    body: bytes
    event: str | None = None
    text: str = ""
    is_json: bool = True


class Dialect(ABC):
    """Made for one stream, from facts that are known at its start; keeps no other state.

    `render` may be asked for any event any number of times (readers, resumes), in any joined form.
    """

    @abstractmethod
    def render(self, event: StreamEvent) -> list[Out]:
        """The objects that say `event`; none where this API has no words for it."""


def usage_object(usage: Usage) -> dict[str, Any]:
    """Counts so far, in the field names of the OpenAI API."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return counts


def labelled(out: Out, label: Mapping[str, Any]) -> bytes:
    """The object with more fields before its own: which request it answers; an error, that it is one."""
    if out.event == "error":
        label = {"type": "error", **label}
    return encode(label)[:-1] + b"," + out.body[1:] if label else out.body
