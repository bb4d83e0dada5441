"""The language engine's station on the journey: jobs in, one step of all sequences, events out."""

import torch

from config.settings import ModelSettings
from workers.engine import Engine
from workers.errors import JobError
from workers.llm.answers.outbox import Outbox
from workers.llm.answers.sequence import Job
from workers.llm.forms.forms import Forms
from workers.llm.start import start
from workers.llm.steps.landing import Landing
from workers.messages import Accepted, Event, JobId, Stats, TextWork

# How long a step waits for a grammar when there is nothing else to do.
FORM_WAIT_S = 0.005


class LlmEngine(Engine[TextWork]):
    """Continuous batching over a causal language model of transformers.

    A choice ends with `stop` at an end token or stop string, and with `length` after `max_tokens` or
    where the model's context is full. An end token has no text, but it is counted and its id is sent.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self._name = name
        self._max_waiting = settings.max_waiting
        parts = start(name, settings)
        runner, self._allocator, self._scheduler, self._flights, self._intake, self.limits = parts
        self._forms = Forms(self._intake.grammars)
        self._jobs: dict[JobId, Job] = {}
        self._complete: list[Job] = []  # complete on arrival: ended by the next step
        self._cancelled: dict[JobId, Job] = {}
        self._outbox = Outbox()
        self._landing = Landing(runner, self._scheduler, self._outbox, self._jobs, name)
        self._num_steps = 0

    def add(self, job_id: JobId, work: TextWork) -> Event | None:
        num_waiting = sum(not job.is_started for job in self._jobs.values())
        if num_waiting >= self._max_waiting:
            message = f'{num_waiting} jobs wait for model "{self._name}" (max_waiting)'
            raise JobError("engine_overloaded", message)
        job = self._intake.make(job_id, work)
        has_forms = job.grammar is None or self._forms.give(job, job.grammar)
        self._jobs[job_id] = job
        if not has_forms:
            return None
        self._enter(job)
        return Accepted(job_id, job.prompt_tokens)

    def _enter(self, job: Job) -> None:
        for sequence in job.sequences.values():
            self._scheduler.add(sequence)
        if any(sequence.is_complete for sequence in job.sequences.values()) or not job.sequences:
            self._complete.append(job)

    def cancel(self, job_id: JobId) -> None:
        job = self._jobs.get(job_id)
        if job is not None and job_id not in self._cancelled:
            self._cancelled[job_id] = job
            if self._forms.drop(job):
                return
            for sequence in job.sequences.values():
                self._scheduler.remove(sequence)

    def pause(self, job_id: JobId) -> None:
        self._set_paused(job_id, True)

    def resume(self, job_id: JobId) -> None:
        self._set_paused(job_id, False)

    def has_work(self) -> bool:
        is_any_ended = bool(self._cancelled or self._complete)
        return is_any_ended or self._forms.has_work() or self._has_steps()

    def _has_steps(self) -> bool:
        return self._flights.is_under_way or self._scheduler.has_work()

    @torch.inference_mode()
    def step(self) -> list[Event]:
        self._num_steps += 1
        self._end_cancelled()
        self._enter_formed()
        self._end_complete()
        flight = self._flights.next()
        if flight is not None:
            self._landing.land(flight)
        return self._outbox.take()

    def close(self) -> None:
        self._forms.close()

    def job_ids(self) -> list[JobId]:
        return list(self._jobs)

    def stats(self) -> Stats:
        """Running, waiting and paused are counted in sequences."""
        queues = self._scheduler
        return Stats(
            len(queues.running),
            len(queues.waiting) + self._forms.num_waiting,
            len(queues.paused),
            self._num_steps,
            queues.num_preemptions,
            self._allocator.usage,
            queues.prefixes.num_shared_tokens,
            queues.speculation.num_drafted,
            queues.speculation.num_accepted,
        )

    def _set_paused(self, job_id: JobId, is_paused: bool) -> None:
        job = self._jobs.get(job_id)
        if job is None or job_id in self._cancelled or job.is_paused == is_paused:
            return
        job.is_paused = is_paused
        if self._forms.is_waiting(job):
            return
        for sequence in job.sequences.values():
            self._scheduler.requeue(sequence)

    def _enter_formed(self) -> None:
        """Jobs whose grammar is compiled by now."""
        for job, error in self._forms.take(0 if self._has_steps() else FORM_WAIT_S):
            if error is None:
                self._outbox.accept(job)
                self._enter(job)
            else:
                self._landing.refuse(job, error)

    def _end_cancelled(self) -> None:
        for job in self._cancelled.values():
            self._landing.end_cancelled(job)
        self._cancelled.clear()

    def _end_complete(self) -> None:
        jobs, self._complete = self._complete, []
        for job in jobs:
            if job.job_id in self._jobs:
                self._landing.end_complete(job)
