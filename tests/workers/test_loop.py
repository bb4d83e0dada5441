"""The loop, with an engine that does as the test says, in the test's own process."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.workers.pipes import Ends, submit
from workers.engine import Engine
from workers.errors import JobError
from workers.loop import Loop
from workers.messages import (
    Accepted,
    Bye,
    Cancel,
    Drain,
    Event,
    EventBatch,
    Failed,
    Finished,
    Heartbeat,
    JobId,
    Limits,
    Pause,
    Report,
    Resume,
    Stats,
    Stop,
    TextDelta,
    TextWork,
    Usage,
)
from workers.queues import EndOfPipe

TIMEOUT_S = 60.0


class SmallEngine(Engine):
    """Sends one word a step for each job until `max_tokens`; raises at "boom", refuses "no"."""

    def __init__(self, word: str = "word") -> None:
        self.limits = Limits(0, 0, 0, False, "small")
        self.word = word
        self.left: dict[JobId, int] = {}
        self.paused: set[JobId] = set()
        self.cancelled: list[JobId] = []
        self.boom = False
        self.num_steps = 0

    def add(self, job_id: JobId, work: TextWork) -> Event:
        text = work.prompts[0].text  # type: ignore[union-attr]
        if text == "no":
            raise JobError("bad_params", "no 7 > 5", "prompt")
        self.boom = text == "boom"
        self.left[job_id] = work.sampling.max_tokens
        return Accepted(job_id, 1)

    def cancel(self, job_id: JobId) -> None:
        self.cancelled.append(job_id)

    def pause(self, job_id: JobId) -> None:
        self.paused.add(job_id)

    def resume(self, job_id: JobId) -> None:
        self.paused.discard(job_id)

    def has_work(self) -> bool:
        return bool(self.cancelled or set(self.left) - self.paused)

    def step(self) -> list[Event]:
        self.num_steps += 1
        if self.boom:
            raise RuntimeError("the device\nis gone")
        cancelled = [job_id for job_id in self.cancelled if self.left.pop(job_id, None) is not None]
        events: list[Event] = [Finished(job_id, "cancelled", Usage(), [0]) for job_id in cancelled]
        self.cancelled.clear()
        for job_id in set(self.left) - self.paused:
            self.left[job_id] -= 1
            events.append(TextDelta(job_id, 0, self.word, [1], self.num_steps))
            if not self.left[job_id]:
                del self.left[job_id]
                events.append(Finished(job_id, "length", Usage(1, self.num_steps), [0]))
        return events

    def job_ids(self) -> list[JobId]:
        return list(self.left)

    def stats(self) -> Stats:
        return Stats(len(self.left))


class Running:
    """A loop in a thread, and all reports that have come of it."""

    def __init__(self, ends: Ends, engine: SmallEngine, heartbeat_s: float) -> None:
        self.ends, self.engine = ends, engine
        self.reports: list[Report] = []
        self.error: BaseException | None = None
        self._loop = Loop(engine, ends.worker, heartbeat_s)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._loop.run()
        except BaseException as error:
            self.error = error

    def events(self) -> list[Event]:
        return [e for report in self.reports if isinstance(report, EventBatch) for e in report.events]

    def wait_for(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, self.reports[-5:]
            self.ends.commands.flush()
            self.reports += self.ends.taken()

    def wait_end(self) -> None:
        """Read on until the loop has ended."""
        self.wait_for(lambda: not self._thread.is_alive())
        self.reports += self.ends.taken()

    def leave(self) -> None:
        if self._thread.is_alive():
            self.ends.commands.put(Stop())
            self.wait_end()


@pytest.fixture
def start(ends: Ends) -> Iterator[Callable[..., Running]]:
    started = []

    def start(word: str = "word", heartbeat_s: float = 60.0) -> Running:
        started.append(Running(ends, SmallEngine(word), heartbeat_s))
        return started[-1]

    yield start
    for running in started:
        running.leave()


def test_a_job_runs_to_its_end(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(submit(1, max_tokens=3))
    running.wait_for(lambda: any(isinstance(event, Finished) for event in running.events()))
    kinds = [type(event).__name__ for event in running.events()]
    assert kinds == ["Accepted", "TextDelta", "TextDelta", "TextDelta", "Finished"]
    assert isinstance(running.reports[0], Heartbeat)


def test_each_step_is_one_batch(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(*(submit(job_id, max_tokens=4) for job_id in (1, 2, 3)))
    running.wait_for(lambda: sum(isinstance(event, Finished) for event in running.events()) == 3)
    steps = [r.events for r in running.reports if isinstance(r, EventBatch) and len(r.events) > 1]
    assert max(len(events) for events in steps) >= 3
    assert running.engine.num_steps < 12


def test_a_refused_job_fails_alone(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(submit(1, "no"), submit(2, max_tokens=1))
    running.wait_for(lambda: any(isinstance(event, Finished) for event in running.events()))
    assert Failed(1, "bad_params", "no 7 > 5", "prompt", Usage()) in running.events()


def test_a_step_that_raises_fails_all_jobs_and_leaves(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(submit(1, max_tokens=1_000_000), submit(2, "boom"))
    running.wait_end()
    assert isinstance(running.error, RuntimeError)
    failures = [event for event in running.events() if isinstance(event, Failed)]
    assert {failure.job_id for failure in failures} == {1, 2}
    assert {failure.code for failure in failures} == {"engine_failed"}
    assert "RuntimeError" in failures[0].message


def test_stop_leaves_at_once(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(submit(1, max_tokens=1_000_000_000), Stop())
    running.wait_end()
    assert (running.error, running.reports[-1]) == (None, Bye(None))


def test_drain_leaves_after_the_last_job(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(submit(1, max_tokens=500), Drain())
    running.wait_end()
    assert (running.error, running.reports[-1]) == (None, Bye(None))
    assert isinstance(running.events()[-1], Finished)
    assert sum(isinstance(event, TextDelta) for event in running.events()) == 500


def test_drain_waits_for_paused_jobs(start: Callable[..., Running]) -> None:
    running = start(heartbeat_s=0.01)
    running.ends.put(submit(1, max_tokens=3), Pause(1), Drain())
    running.wait_for(lambda: len([r for r in running.reports if isinstance(r, Heartbeat)]) > 3)
    running.ends.put(Resume(1))
    running.wait_end()
    assert isinstance(running.events()[-1], Finished)


def test_a_paused_job_leaves_its_neighbours_alone(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.put(submit(1, max_tokens=10), Pause(1), submit(2, max_tokens=10))
    running.wait_for(lambda: any(isinstance(e, Finished) and e.job_id == 2 for e in running.events()))
    assert not any(isinstance(e, Finished) and e.job_id == 1 for e in running.events())
    running.ends.put(Resume(1))
    running.wait_for(lambda: any(isinstance(e, Finished) and e.job_id == 1 for e in running.events()))


def test_a_full_outbox_stops_the_engine_but_not_its_ears(start: Callable[..., Running]) -> None:
    running = start(word="w" * 10_000)
    running.ends.put(submit(1, max_tokens=1_000_000_000))
    engine = running.engine
    # Nobody reads: the engine stands still once the pipe and one batch are full.
    deadline, before = time.monotonic() + TIMEOUT_S, -1
    while engine.num_steps != before or not engine.num_steps:
        before = engine.num_steps
        running.ends.put(Resume(job_id := 99), Pause(job_id))
        while 99 not in engine.paused:
            assert time.monotonic() < deadline
        running.ends.put(Resume(99))
        while 99 in engine.paused:
            assert time.monotonic() < deadline
    assert engine.num_steps < 100
    running.ends.put(Cancel(1))
    while 1 not in engine.cancelled:
        assert time.monotonic() < deadline
    running.wait_for(lambda: Finished(1, "cancelled", Usage(), [0]) in running.events())


def test_heartbeats_come_while_idle_and_while_busy(start: Callable[..., Running]) -> None:
    running = start(heartbeat_s=0.01)
    running.wait_for(lambda: sum(isinstance(r, Heartbeat) for r in running.reports) > 3)
    running.reports.clear()
    running.ends.put(submit(1, max_tokens=1_000_000_000))
    running.wait_for(lambda: any(isinstance(report, EventBatch) for report in running.reports))
    running.reports.clear()
    running.wait_for(lambda: Heartbeat(Stats(1)) in running.reports)


def test_the_service_is_gone(start: Callable[..., Running]) -> None:
    running = start()
    running.ends.commands.close()
    deadline = time.monotonic() + TIMEOUT_S
    while not running.error:
        assert time.monotonic() < deadline
    assert isinstance(running.error, EndOfPipe)
