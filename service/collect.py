"""A whole answer from a stream, for requests that do not stream."""

from typing import NamedTuple

from service.errors import from_failure
from service.events import reason_of
from service.streams import Stream
from workers.messages import ChoiceFinished, Failed, Finished, TextDelta, Usage


class Answer(NamedTuple):
    """Per choice its text and the reason it ended for."""

    texts: list[str]
    reasons: list[str]
    usage: Usage


async def collect(stream: Stream) -> Answer:
    """Read a stream to its end. Raises ApiError when it fails; cancelled, it stops the job."""
    reader = stream.attach(0)
    parts: list[list[str]] = [[] for _ in stream.num_tokens]
    reasons = [""] * len(parts)
    try:
        while not reader.is_at_end:
            await reader.wait()
            for _, event in reader.take():
                match event:
                    case TextDelta():
                        parts[event.index].append(event.text)
                    case ChoiceFinished():
                        reasons[event.index] = event.reason
                    case Finished():
                        for index in event.ended:
                            reasons[index] = reason_of(event)
                    case Failed():
                        raise from_failure(event)
            stream.check_pressure()
    finally:
        stream.detach(reader)
    usage = stream.terminal.usage if stream.terminal else stream.usage()
    return Answer(["".join(texts) for texts in parts], reasons, usage)
