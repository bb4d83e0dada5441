"""Text pipelines: each step advances one batch of the models that have pieces, in turn."""

import time
from collections import deque

from config.settings import ModelSettings
from workers.engine import Engine
from workers.messages import Accepted, Event, JobId, Limits, PipelineWork, Stats
from workers.pipeline.kinds import build_stages
from workers.pipeline.model import Model
from workers.pipeline.run import Run

# A step ends after this time, even when models are left: its events leave, and commands are heard.
SLICE_S = 0.01


class PipelineEngine(Engine[PipelineWork]):
    """Runs jobs through the stages that the settings declare.

    Pieces of all jobs go through one model together. All jobs run; the models take their pieces in
    the order of arrival. A paused or cancelled job's pieces enter no further batch.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:  # noqa: ARG002
        self._stages = build_stages(settings)
        self._models = deque({id(stage.model): stage.model for stage in self._stages.values()}.values())
        specs = [stage.spec for stage in self._stages.values()]
        description = f"stages {', '.join(self._stages)}"
        self.limits = Limits(0, settings.max_num_seqs, 0, False, description, stages=specs)
        self._runs: dict[JobId, Run] = {}
        self._new: list[JobId] = []
        self._cancelled: set[JobId] = set()
        self._paused: set[JobId] = set()
        self._num_steps = 0

    def add(self, job_id: JobId, work: PipelineWork) -> Event:
        self._runs[job_id] = Run(job_id, work, self._stages)
        self._new.append(job_id)
        return Accepted(job_id, 0)

    def cancel(self, job_id: JobId) -> None:
        if job_id in self._runs:
            self._cancelled.add(job_id)

    def pause(self, job_id: JobId) -> None:
        if job_id in self._runs:
            self._paused.add(job_id)
            for model in self._models:
                model.pause(job_id)

    def resume(self, job_id: JobId) -> None:
        if job_id in self._paused:
            self._paused.discard(job_id)
            for model in self._models:
                model.resume(job_id)

    def has_work(self) -> bool:
        return bool(self._cancelled or self._new) or any(model.has_work() for model in self._models)

    def step(self) -> list[Event]:
        self._num_steps += 1
        events = self._end_cancelled() + self._begin_new()
        until = time.monotonic() + SLICE_S
        for _ in range(len(self._models)):
            model = self._models[0]
            self._models.rotate(-1)
            if model.has_work():
                events += self._advance(model)
            if time.monotonic() >= until:
                break
        return events

    def job_ids(self) -> list[JobId]:
        return list(self._runs)

    def stats(self) -> Stats:
        num_waiting = len(self._new)
        num_running = len(self._runs) - len(self._paused) - num_waiting
        return Stats(max(0, num_running), num_waiting, len(self._paused), self._num_steps)

    def _end_cancelled(self) -> list[Event]:
        events: list[Event] = []
        for job_id in self._cancelled:
            events.append(self._runs[job_id].cancel())
            self._forget(job_id)
        self._cancelled.clear()
        return events

    def _begin_new(self) -> list[Event]:
        events: list[Event] = []
        for job_id in [job_id for job_id in self._new if job_id in self._runs]:
            run = self._runs[job_id]
            events += [*run.begin(), *self._go_on(run)]
        self._new.clear()
        return events

    def _advance(self, model: Model) -> list[Event]:
        """One batch of a model, and what it brings about in the jobs that it touches."""
        touched: dict[JobId, Run] = {}
        for outcome in model.step():
            run = self._runs.get(outcome.piece.job_id)
            if run:
                run.take(outcome)
                touched[run.job_id] = run
        return [event for run in touched.values() for event in self._go_on(run)]

    def _go_on(self, run: Run) -> list[Event]:
        """Begin the stages that can; tell what is due."""
        while due := list(run.due()):
            for stage, pieces in due:
                stage.model.put(pieces)
        events = run.tell()
        if run.is_over:
            self._forget(run.job_id)
        return events

    def _forget(self, job_id: JobId) -> None:
        del self._runs[job_id]
        self._paused.discard(job_id)
        for model in self._models:
            model.drop(job_id)
