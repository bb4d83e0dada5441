"""Streams without workers: what a stream asks for is written down, and events come from the test."""

import asyncio
from collections.abc import Callable
from typing import Any

from config.command_line import load
from config.settings import StreamSettings
from service.dialects.dialect import Dialect
from service.dialects.native import GenerateDialect
from service.job import Job
from service.streams import Stream
from service.turn import Turn
from workers.messages import Accepted, Finished, Sampling, TextDelta, TextPrompt, TextWork, Usage

JOB_ID = 7
TIMEOUT_S = 60.0


class FakeControls:
    """`asked` lists the commands that streams asked for, in order; turns are real."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.turn = Turn()

    def cancel(self, _stream: Stream) -> None:
        self.asked.append("cancel")

    def pause(self, _stream: Stream) -> None:
        self.asked.append("pause")

    def resume(self, _stream: Stream) -> None:
        self.asked.append("resume")

    def touch(self, stream: Stream) -> None:
        self.turn.touch(stream)

    def deliver(self, *streams: Stream) -> None:
        """The end of a turn in which these streams had events."""
        for stream in streams:
            self.turn.touch(stream)
        self.turn.deliver()


def stream_settings(**values: Any) -> StreamSettings:
    return load([f"--set=streams.{name}={value}" for name, value in values.items()], {}).streams


def job_of(*, num_choices: int = 1, key: str = "anyone", **facts: Any) -> Job:
    work = TextWork([TextPrompt("x")], Sampling(100), num_choices)
    return Job(id=JOB_ID, key=key, route="/r", model="echo", work=work, request_id="req", **facts)


def stream_of(
    controls: FakeControls | None = None,
    *,
    settings: StreamSettings | None = None,
    dialect: Dialect | None = None,
    **facts: Any,
) -> Stream:
    job = job_of(**facts)
    dialect = dialect or GenerateDialect(job.stream_id)
    return Stream(job, dialect, controls or FakeControls(), settings or stream_settings())


def accepted(num_tokens: int = 3) -> Accepted:
    return Accepted(JOB_ID, num_tokens)


def delta(text: str, num_tokens: int = 1, index: int = 0) -> TextDelta:
    return TextDelta(JOB_ID, index, text, [num_tokens], num_tokens)


def finished(reason: str = "stop", num_tokens: int = 1) -> Finished:
    return Finished(JOB_ID, reason, Usage(3, num_tokens), [0])


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until the condition holds."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only one that sets an event
            await asyncio.sleep(0.001)
