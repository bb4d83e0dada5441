"""Server-Sent Events as the official OpenAI client's own decoder reads them."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
from openai._streaming import ServerSentEvent, SSEDecoder


def decode(body: bytes | Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """The events of a body, as its bytes come."""
    return SSEDecoder().iter_bytes(iter([body] if isinstance(body, bytes) else body))


def events(answer: httpx.Response) -> Iterator[ServerSentEvent]:
    """The events of a streamed answer, each as soon as it is there."""
    return decode(answer.iter_bytes())


def objects(body: bytes | Iterable[bytes]) -> list[dict[str, Any]]:
    """The data of all events but `[DONE]`."""
    return [json.loads(event.data) for event in decode(body) if event.data != "[DONE]"]
