"""A whole answer from a stream, for requests that do not stream."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from service.errors import from_failure
from service.events import StreamEvent, reason_of
from service.reader import Reader
from service.streams import Stream
from workers.messages import ChoiceFinished, Failed, Finished, TextDelta, TokenLogprob, Usage


class Answer(NamedTuple):
    """Per choice its text, the reason it ended for, and its tokens' likelihoods where they were asked for."""

    texts: list[str]
    reasons: list[str]
    usage: Usage
    logprobs: list[list[TokenLogprob]]


async def events_of(reader: Reader) -> AsyncGenerator[tuple[int | None, StreamEvent], None]:
    """Each event with its seq, up to the stream's end, or to that of a reader who is dropped."""
    stream = reader.stream
    while not reader.is_at_end:
        await reader.wait()
        for seq_and_event in reader.take():
            yield seq_and_event
        stream.check_pressure()
    if reader.is_dropped:
        yield None, stream.ending("slow_client")


async def read_to_end(stream: Stream, take: Callable[[StreamEvent], None]) -> None:
    """Give each event to `take`. Raises ApiError when the job fails; cancelled, it stops the job."""
    reader = stream.attach(0)
    try:
        async with aclosing(events_of(reader)) as events:
            async for _, event in events:
                if isinstance(event, Failed):
                    raise from_failure(event)
                take(event)
    finally:
        stream.detach(reader)


async def collect(stream: Stream) -> Answer:
    """Each choice's text. Raises as `read_to_end`."""
    parts: list[list[str]] = [[] for _ in stream.num_tokens]
    logprobs: list[list[TokenLogprob]] = [[] for _ in parts]
    reasons = [""] * len(parts)

    def take(event: StreamEvent) -> None:
        match event:
            case TextDelta():
                parts[event.index].append(event.text)
                logprobs[event.index] += event.logprobs
            case ChoiceFinished():
                reasons[event.index] = event.reason
            case Finished():
                for index in event.ended:
                    reasons[index] = reason_of(event)

    await read_to_end(stream, take)
    usage = stream.terminal.usage if stream.terminal else stream.usage()
    return Answer(["".join(texts) for texts in parts], reasons, usage, logprobs)
