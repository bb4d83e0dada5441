"""A whole answer from a stream, for requests that do not stream."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from msgspec import Struct

from service.errors import from_failure
from service.events import StreamEvent, join, reason_of
from service.reader import Reader
from service.streams import Stream
from workers.messages import ChoiceFinished, Failed, Finished, TextDelta, TokenLogprob, ToolCallPart, Usage


class Choice(Struct):
    """One whole answer: its text, why it ended, its calls, its tokens' likelihoods where asked for."""

    text: str = ""
    reason: str = ""
    logprobs: list[TokenLogprob] = []
    tool_calls: list[ToolCallPart] = []


class Answer(NamedTuple):
    choices: list[Choice]
    usage: Usage


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
    """All of each choice. Raises as `read_to_end`."""
    deltas: list[list[TextDelta]] = [[] for _ in stream.num_tokens]
    reasons = [""] * len(deltas)

    def take(event: StreamEvent) -> None:
        match event:
            case TextDelta():
                deltas[event.index].append(event)
            case ChoiceFinished():
                reasons[event.index] = event.reason
            case Finished():
                for index in event.ended:
                    reasons[index] = reason_of(event)

    await read_to_end(stream, take)
    usage = stream.terminal.usage if stream.terminal else stream.usage()
    return Answer([_whole(*each) for each in zip(deltas, reasons, strict=True)], usage)


def _whole(deltas: list[TextDelta], reason: str) -> Choice:
    if not deltas:
        return Choice(reason=reason)
    delta = join(deltas)
    return Choice(delta.text, reason, delta.logprobs, delta.tool_calls)
