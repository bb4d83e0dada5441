"""Tasks: each step lets the running generators go on to their next yield, in turn."""

import logging
import time
from collections import deque
from typing import Any

from config.settings import ModelSettings
from workers.engine import Engine
from workers.errors import JobError
from workers.messages import Accepted, Event, JobId, Limits, Stats, TaskWork
from workers.tasks.context import Context
from workers.tasks.declare import Task
from workers.tasks.load import load_tasks, set_up
from workers.tasks.run import Run
from workers.tasks.wording import say

log = logging.getLogger(__name__)

# A step ends after this time, even amid a round: its events leave, and commands are heard.
SLICE_S = 0.02


class TasksEngine(Engine[TaskWork]):
    """Runs the tasks of the module that the settings name.

    All that run get one yield a round, the oldest `max_num_seqs` that are not paused; a round may
    take several steps. A generator that does not come to its next yield holds up its whole worker,
    until the supervisor replaces it.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:  # noqa: ARG002
        self._tasks = load_tasks(settings.path)
        self._states = set_up(self._tasks)
        self._max_num_seqs = settings.max_num_seqs
        specs = [task.spec for task in self._tasks.values()]
        description = f"tasks {', '.join(self._tasks)}"
        self.limits = Limits(0, settings.max_num_seqs, 0, False, description, specs)
        self._runs: dict[JobId, Run] = {}
        self._paused: set[JobId] = set()
        self._cancelled: set[JobId] = set()
        self._due: deque[JobId] = deque()
        self._num_steps = 0

    def add(self, job_id: JobId, work: TaskWork) -> Event:
        if work.name not in self._tasks:
            known = ", ".join(self._tasks)
            raise JobError("bad_params", f"task {work.name!r} is unknown; there is: {known}", "name")
        task = self._tasks[work.name]
        params = _read(job_id, task, work.params)
        self._runs[job_id] = Run(job_id, task, params, Context(self._states.get(task.name)))
        return Accepted(job_id, 0)

    def cancel(self, job_id: JobId) -> None:
        if job_id in self._runs:
            self._cancelled.add(job_id)

    def pause(self, job_id: JobId) -> None:
        if job_id in self._runs:
            self._paused.add(job_id)

    def resume(self, job_id: JobId) -> None:
        self._paused.discard(job_id)

    def has_work(self) -> bool:
        return bool(self._cancelled) or len(self._runs) > len(self._paused)

    def step(self) -> list[Event]:
        self._num_steps += 1
        events: list[Event] = []
        for job_id in self._cancelled:
            events.append(self._runs[job_id].close())
            self._forget(job_id)
        self._cancelled.clear()
        self._due = self._due or deque(self._running())
        until = time.monotonic() + SLICE_S
        while self._due:
            self._advance(self._due.popleft(), events)
            if time.monotonic() >= until:
                break
        return events

    def job_ids(self) -> list[JobId]:
        return list(self._runs)

    def stats(self) -> Stats:
        num_active = len(self._runs) - len(self._paused)
        num_running = min(num_active, self._max_num_seqs)
        return Stats(num_running, num_active - num_running, len(self._paused), self._num_steps)

    def _running(self) -> list[JobId]:
        running = (job_id for job_id in self._runs if job_id not in self._paused)
        return [job_id for job_id, _ in zip(running, range(self._max_num_seqs), strict=False)]

    def _advance(self, job_id: JobId, events: list[Event]) -> None:
        """Paused or ended since the round began, it is passed over."""
        if job_id in self._runs and job_id not in self._paused:
            run = self._runs[job_id]
            events.extend(run.advance())
            if run.is_over:
                self._forget(job_id)

    def _forget(self, job_id: JobId) -> None:
        del self._runs[job_id]
        self._paused.discard(job_id)


def _read(job_id: JobId, task: Task, body: bytes) -> Any:
    try:
        return task.read(body)
    except JobError:
        raise
    except Exception as error:
        log.exception("params of a task failed", extra={"job": job_id, "task": task.name})
        raise JobError("task_failed", f'task "{task.name}": its params raised {say(error)}') from None
