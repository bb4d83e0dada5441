"""A feed without a service: who gets which items, when its source runs, when silence is said."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from config.command_line import load
from service.dialects.feed import FeedDialect
from service.feed_sources import Endings, Figures, Put, Source
from service.feeds import Feed
from service.streams import Stream
from tests.service.fakes import FakeControls, delta, finished, job_of, stream_of, stream_settings, until
from workers.messages import Cancel, EventBatch, Finished, Pause, Resume, Submit, TaskWork


class Said(Source):
    """A source that the test speaks for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def start(self, put: Put) -> None:
        self.asked.append("start")

    def stop(self) -> None:
        self.asked.append("stop")


class House:
    """A feed that keeps three items, and its readers' streams by job id."""

    def __init__(self, timeout_s: float = 30.0) -> None:
        flags = ["--set", "feeds.buffer_items=3", "--set", f"feeds.timeout_s={timeout_s}"]
        self.source = Said()
        self.feed = Feed("said", load(flags, {}).feeds, self.source, self.take)
        self.streams: dict[int, Stream] = {}

    def take(self, feed: Feed, batch: EventBatch) -> None:
        for event in batch.events:
            feed.jobs[event.job_id].push(event)

    async def join(self, job_id: int) -> Stream:
        job = job_of()
        job.id, job.work = job_id, TaskWork("said", b"")
        stream = self.streams[job_id] = Stream(job, FeedDialect(), FakeControls(), stream_settings())
        self.feed.submit(stream, Submit(job_id, job.work))
        await until(lambda: stream.is_accepted)
        return stream


def told(stream: Stream) -> list[dict[str, Any]]:
    """The objects that the stream's readers see."""
    events = [entry.event for entry in stream.log.after(0)]
    return [json.loads(out.body) for event in events for out in stream.dialect.render(event)]


def counters(stream: Stream) -> list[int]:
    return [each["counter"] for each in told(stream)]


async def test_the_source_runs_while_there_are_readers() -> None:
    house = House()
    assert house.source.asked == []
    for _ in range(2):
        for job_id in (1, 2):
            await house.join(job_id)
        house.feed.cancel(Cancel(1))
        assert house.source.asked[-1] == "start"
        house.feed.cancel(Cancel(2))
    assert house.source.asked == ["start", "stop"] * 2
    house.feed.cancel(Cancel(2))
    assert house.source.asked == ["start", "stop"] * 2
    assert house.feed.summary() == {"readers": 0, "running": False, "items": 0, "buffered_items": 0}


async def test_who_leaves_before_he_began_starts_nothing() -> None:
    house = House()
    stream = stream_of()
    house.feed.submit(stream, Submit(9, TaskWork("said", b"")))
    house.feed.cancel(Cancel(9))
    await asyncio.sleep(0)
    assert (house.source.asked, house.feed.jobs, stream.is_accepted) == ([], {}, False)


async def test_the_kept_items_come_first_also_after_a_time_without_readers() -> None:
    house = House()
    first = await house.join(1)
    for number in range(5):
        house.feed.put(number)
    assert counters(first) == [1, 2, 3, 4, 5]
    late = await house.join(2)
    assert told(late) == told(first)[2:]
    house.feed.put("new")
    assert counters(first) == [1, 2, 3, 4, 5, 6]
    assert counters(late) == [3, 4, 5, 6]
    for job_id in (1, 2):
        house.feed.cancel(Cancel(job_id))
    assert counters(await house.join(3)) == [4, 5, 6]
    assert [each["data"] for each in told(house.streams[3])] == [3, 4, "new"]


async def test_a_paused_reader_goes_on_with_what_is_kept() -> None:
    house = House()
    slow, quick = await house.join(1), await house.join(2)
    house.feed.put(0)
    house.feed.send(Pause(1))
    for number in range(2):
        house.feed.put(number)
    house.feed.send(Resume(1))
    assert counters(slow) == counters(quick) == [1, 2, 3]
    house.feed.send(Pause(1))
    for number in range(9):
        house.feed.put(number)
    assert counters(slow) == [1, 2, 3]
    house.feed.send(Resume(1))
    assert counters(slow) == [1, 2, 3, 10, 11, 12]
    assert counters(quick) == list(range(1, 13))
    # Commands for those who have gone.
    house.feed.send(Pause(99))
    house.feed.send(Resume(99))


async def test_silence_is_said_to_each_for_himself() -> None:
    house = House(timeout_s=0.02)
    stream, paused = await house.join(1), await house.join(2)
    house.feed.send(Pause(2))
    await until(lambda: stream.log.seq == 2)
    assert [each["status"] for each in told(stream)] == ["timeout"] * 2
    assert told(stream)[0]["message"] == "no item for 0.02 s"
    house.feed.put("x")
    assert told(stream)[-1]["data"] == "x"
    assert told(paused) == []
    house.feed.cancel(Cancel(1))
    seq = stream.log.seq
    house.feed.send(Resume(2))
    await until(lambda: paused.log.seq == 3)
    assert stream.log.seq == seq


async def test_figures_come_at_once_and_never_sooner_than_their_interval() -> None:
    got: list[int] = []
    numbers = iter(range(100))
    source = Figures(lambda: next(numbers), 1_000)
    source.start(got.append)
    await until(lambda: got)
    source.stop()
    source.start(got.append)
    for _ in range(5):
        await asyncio.sleep(0)
    assert got == [0]
    source.stop()


async def test_figures_that_raise_are_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    got: list[int] = []
    answers = iter((ValueError("boom"), 5))

    def look() -> int:
        answer = next(answers, 6)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = Figures(look, 0.01)
    with caplog.at_level(logging.ERROR):
        source.start(got.append)
        await until(lambda: got)
    source.stop()
    assert got[0] == 5
    assert [record.message for record in caplog.records] == ["feed failed"]


async def test_endings_tell_nothing_of_whose_they_were() -> None:
    listeners: list[Callable[[Stream], None]] = []
    got: list[dict[str, Any]] = []
    source = Endings(listeners)
    source.start(got.append)
    stream = stream_of(key="alice")
    stream.on_end += listeners
    stream.push(delta("a", 4))
    stream.push(finished())
    (only,) = got
    assert only.pop("age") >= 0
    assert only == {"route": "/r", "model": "echo", "seq": 2, "tokens": 4, "reason": "stop"}
    source.stop()
    assert listeners == []


@pytest.mark.parametrize("reason", ["cancelled", "client_gone", "slow_client", "deadline", "drained"])
async def test_every_ending_says_its_reason_and_usage(reason: str) -> None:
    house = House()
    stream = await house.join(1)
    house.feed.put(1)
    stream.end(reason)
    assert isinstance(stream.terminal, Finished)
    last = told(stream)[-1]
    assert (last["status"], last["finish_reason"], last["usage"]["items"]) == (reason, reason, 1)
