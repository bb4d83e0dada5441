"""One worker as the service sees it, with the worker's end of the pipes in the test's hands."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.streams import Stream
from service.worker_link import WorkerLink
from tests.service.fakes import JOB_ID, delta, finished, stream_of, until
from tests.workers.pipes import Ends, submit
from workers.messages import (
    Bye,
    Cancel,
    Event,
    EventBatch,
    Failed,
    Heartbeat,
    Limits,
    Pause,
    Ready,
    Stats,
    Submit,
    Usage,
    encode,
)
from workers.queues import HEADER

BIG = "x" * 500_000


class FakeProcess:
    is_killed = False
    is_gone = False

    def is_alive(self) -> bool:
        return not self.is_gone

    def kill(self) -> None:
        self.is_killed = True


class OpenLink(WorkerLink):
    """Starts no process; remembers what it was told."""

    process: Any

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.events: list[Event] = []
        self.told: list[str] = []
        spec: Any = None
        super().__init__(
            spec,
            lambda _, batch: self.events.extend(batch.events),
            lambda _: self.told.append("ready"),
            lambda _: self.told.append("lost"),
        )

    def _start(self) -> None:
        self.process = FakeProcess()
        self._reader, self._writer = self.ends.reports, self.ends.commands
        self._loop.add_reader(self._reader.fileno(), self._read)

    def submit_job(self, job_id: int, text: str = "x") -> Stream:
        stream = stream_of()
        self.submit(stream, submit(job_id, text))
        return stream


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


async def test_reports_arrive(ends: Ends) -> None:
    link = OpenLink(ends)
    limits = Limits(1, 2, 3, True, "fake")
    for report in (Ready(limits), Heartbeat(Stats(5)), EventBatch([delta("a"), finished()])):
        ends.worker.put(report)
    await until(lambda: len(link.events) == 2)
    assert (link.state, link.limits, link.stats, link.told) == ("ready", limits, Stats(5), ["ready"])
    link.kill("enough")


async def test_last_words_are_heard_though_commands_cannot_be_said_any_more(ends: Ends) -> None:
    link = OpenLink(ends)
    link.submit_job(JOB_ID)
    failure = Failed(JOB_ID, "engine_failed", "boom", None, Usage())
    ends.worker.put(EventBatch([failure]))
    ends.worker.put(Bye("the device is gone"))
    ends.close_worker()
    link.send(Pause(JOB_ID))
    link.cancel(Cancel(JOB_ID))
    assert link.state != "lost"
    await until(lambda: link.state == "lost")
    assert (link.events, link.error, link.told) == ([failure], "the device is gone", ["lost"])
    link.send(Pause(JOB_ID))
    link.kill("again")
    assert link.told == ["lost"]


async def test_a_death_that_its_pipe_hides_is_noticed_and_its_last_words_are_heard(ends: Ends) -> None:
    link = OpenLink(ends)
    link.submit_job(JOB_ID)
    link.check_alive()
    assert link.state != "lost"
    failure = Failed(JOB_ID, "engine_failed", "boom", None, Usage())
    ends.worker.put(EventBatch([failure]))
    ends.worker.put(Bye("the device is gone"))
    link.process.is_gone = True
    link.check_alive()
    link.check_alive()
    assert (link.state, link.events, link.error) == ("lost", [failure], "the device is gone")
    assert link.told == ["lost"]


async def test_commands_larger_than_the_pipe_leave_as_it_is_read(ends: Ends) -> None:
    link = OpenLink(ends)
    for job_id in (1, 2):
        link.submit_job(job_id, BIG)
    assert link.num_unsent_bytes > len(BIG)
    taken: list[object] = []

    def take() -> bool:
        taken.extend(ends.worker.take(0))
        return len(taken) == 2

    await until(take)
    assert taken == [submit(1, BIG), submit(2, BIG)]
    await until(lambda: not link.num_unsent_bytes)
    link.kill("enough")


async def test_a_submit_that_has_not_left_is_taken_back(ends: Ends) -> None:
    link = OpenLink(ends)
    for job_id in (1, 2):
        link.submit_job(job_id, BIG)
    link.cancel(Cancel(2))
    assert list(link.jobs) == [1]
    taken: list[object] = []
    await until(lambda: [taken.extend(ends.worker.take(0))] and taken)
    assert [type(command) for command in taken] == [Submit]
    await until(lambda: not link.num_unsent_bytes)
    assert list(ends.worker.take(0)) == []
    link.kill("enough")


async def test_its_death_with_commands_waiting(ends: Ends) -> None:
    link = OpenLink(ends)
    link.submit_job(1, BIG)
    ends.close_worker()
    await until(lambda: link.state == "lost")
    assert link.error == "its process ended without a word"


async def test_what_is_no_report_is_the_end(ends: Ends) -> None:
    link = OpenLink(ends)
    nonsense = encode(["Nonsense"])  # type: ignore[arg-type]
    ends.worker._writer._waiting.append((None, HEADER.pack(len(nonsense)) + nonsense))
    ends.worker.has_room()
    await until(lambda: link.state == "lost")
    assert link.process.is_killed
    assert "no report" in str(link.error)
