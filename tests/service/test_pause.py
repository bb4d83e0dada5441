"""A stream whose events come quicker than its worker can be paused."""

import asyncio

from config.command_line import load
from service.dialects.native import StreamTextDialect
from service.job import Job
from service.streams import Stream
from workers.messages import Accepted, Sampling, TextDelta, TextPrompt, TextWork

NUM_UNDER_WAY = 20_000


class Controls:
    """Writes down what the stream asks for; the worker has not heard of it yet."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def touch(self, stream: Stream) -> None:
        stream.wake()
        stream.check_pressure()

    def cancel(self, stream: Stream) -> None:
        self.asked.append("cancel")

    def pause(self, stream: Stream) -> None:
        self.asked.append("pause")

    def resume(self, stream: Stream) -> None:
        self.asked.append("resume")


def stream_with(controls: Controls) -> Stream:
    work = TextWork([TextPrompt("hello")], Sampling(NUM_UNDER_WAY))
    job = Job(id=1, key="anyone", route="/stream_text", model="echo", work=work, request_id="req_1")
    stream = Stream(job, StreamTextDialect(), controls, load([], {}).streams)
    stream.push(Accepted(1, 1))
    return stream


def feed(stream: Stream) -> None:
    for i in range(NUM_UNDER_WAY):
        stream.push(TextDelta(1, 0, "word ", [i], i + 1))
        stream.notify()


async def test_only_reader_loses_nothing_that_was_under_way() -> None:
    controls = Controls()
    stream = stream_with(controls)
    reader = stream.attach(0)
    feed(stream)
    assert controls.asked == ["pause"]
    assert not reader.is_dropped
    texts = [event.text for _, event in reader.take() if isinstance(event, TextDelta)]
    assert "".join(texts) == "word " * NUM_UNDER_WAY
    stream.check_pressure()
    assert controls.asked == ["pause", "resume"]
    stream.detach(reader)
    await asyncio.sleep(0)


async def test_reader_that_another_has_outrun_is_dropped() -> None:
    controls = Controls()
    stream = stream_with(controls)
    slow, quick = stream.attach(0), stream.attach(0)
    quick.on_wake = quick.take  # type: ignore[assignment]
    feed(stream)
    assert controls.asked == []
    assert (slow.is_dropped, quick.is_dropped) == (True, False)
    assert stream.log.kept_bytes < 2 * stream.settings.max_log_bytes
    stream.detach(slow)
    stream.detach(quick)
