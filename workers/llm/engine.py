"""The language engine's station on the journey: jobs in, one step of all sequences, events out."""

import logging
from math import isfinite

import torch
from torch import Tensor

from config.settings import ModelSettings
from workers.engine import Engine
from workers.errors import JobError
from workers.llm.answers.logprobs import likelihoods_of
from workers.llm.answers.outbox import Outbox
from workers.llm.answers.sequence import Job, Sequence
from workers.llm.forms.forms import Forms
from workers.llm.sampling.sampler import FAILED
from workers.llm.scheduling.chunks import Chunk
from workers.llm.start import start
from workers.llm.steps.batch import Batch
from workers.llm.steps.flight import Drawn, Flight
from workers.messages import Accepted, Event, JobId, Stats, TextWork

log = logging.getLogger(__name__)

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
        self._runner, self._allocator, self._scheduler, self._flights, self._intake, self.limits = parts
        self._forms = Forms(self._intake.grammars)
        self._jobs: dict[JobId, Job] = {}
        self._complete: list[Job] = []  # complete on arrival: ended by the next step
        self._cancelled: dict[JobId, Job] = {}
        self._outbox = Outbox()
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
        if any(self._is_complete(sequence) for sequence in job.sequences.values()) or not job.sequences:
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
            self._start(flight.batch.chunks)
            self._land(flight)
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
                self._outbox.fail(job, error)
                del self._jobs[job.job_id]

    def _start(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            job = chunk.sequence.job
            if not (job.is_started or chunk.sequence.has_left):
                job.is_started = True
                self._outbox.start(job)

    def _land(self, flight: Flight) -> None:
        """Each sequence whose last token was computed gets its next, or several; who has left gets none."""
        if flight.logits is not None:
            self._read(flight.batch, flight.logits)
        for chunk, drawn in flight.read():
            sequence = chunk.sequence
            if sequence.has_left and any(token_id == FAILED for token_id, _ in drawn):
                self._erase(sequence)
            self._scheduler.land(sequence)
            if drawn and not sequence.has_left:
                self._take(chunk, drawn)
        self._scheduler.note_time(flight.batch.chunks, flight.step_s)

    def _erase(self, sequence: Sequence) -> None:
        """What it has in the cache is no number: nobody may come upon it."""
        self._runner.erase(self._scheduler.spoil(sequence))

    def _read(self, batch: Batch, logits: Tensor) -> None:
        """Tell what is known of prompts by now; the last of it goes with the answer's first token."""
        for chunk, first, stop in batch.reads:
            sequence, reading = chunk.sequence, chunk.sequence.reading
            if reading is None or sequence.has_left:
                continue
            num_top = sequence.job.sampling.top_logprobs or 0
            likelihoods = likelihoods_of(logits[first:stop], reading.next_ids(stop - first), num_top)
            if not all(isfinite(likelihood.logprob) for likelihood in likelihoods):
                self._fail(sequence)
                continue
            reading.take(likelihoods)
            if not reading.is_over:
                self._tell(sequence, sequence.answer.show_echo(reading.num_chars))
            elif self._is_complete(sequence):
                self._end(sequence, "")

    def _tell(self, sequence: Sequence, text: str) -> None:
        if text:
            self._outbox.text(sequence, text)

    def _take(self, chunk: Chunk, drawn: list[Drawn]) -> None:
        """Add what was drawn, up to the first token that is not its draft, which the next was drawn after."""
        sequence, text = chunk.sequence, ""
        for num_accepted, (token_id, likelihood) in enumerate(drawn):
            if token_id == FAILED:
                self._tell(sequence, text)
                self._fail(sequence)
                return
            text += sequence.append(token_id, likelihood)
            if self._is_complete(sequence) or (token_id,) != chunk.drafts[num_accepted : num_accepted + 1]:
                break
        if chunk.drafts:
            self._settle(chunk, num_accepted, drawn)
        if self._is_complete(sequence):
            self._end(sequence, text)
        else:
            self._tell(sequence, text)

    def _settle(self, chunk: Chunk, num_accepted: int, drawn: list[Drawn]) -> None:
        if any(token_id == FAILED for token_id, _ in drawn):
            # By a wrong draft.
            self._erase(chunk.sequence)
            self._scheduler.restart(chunk)
        else:
            self._scheduler.note_accepted(chunk, num_accepted)

    def _is_complete(self, sequence: Sequence) -> bool:
        return sequence.end_reason() is not None

    def _end(self, sequence: Sequence, text: str) -> None:
        job = sequence.job
        text += sequence.answer.flush()
        # Only now: what was held back may have completed a stop string.
        reason = sequence.end_reason() or "length"
        self._outbox.rest(sequence, text, reason)
        if reason == "stop" and sequence.has_called:
            reason = "tool_calls"
        self._scheduler.remove(sequence)
        del job.sequences[sequence.index]
        if job.sequences:
            self._outbox.end_choice(sequence, reason)
        else:
            self._finish(job, reason, [sequence.index])

    def _finish(self, job: Job, reason: str, ended: list[int]) -> None:
        self._outbox.end(job, reason, ended)
        del self._jobs[job.job_id]

    def _end_cancelled(self) -> None:
        for job in self._cancelled.values():
            for sequence in job.sequences.values():
                self._outbox.rest(sequence, sequence.answer.flush(), "cancelled")
            self._finish(job, "cancelled", list(job.sequences))
        self._cancelled.clear()

    def _end_complete(self) -> None:
        jobs, self._complete = self._complete, []
        for job in jobs:
            if job.job_id not in self._jobs:
                continue
            for sequence in [s for s in job.sequences.values() if self._is_complete(s)]:
                self._end(sequence, "")
            if job.job_id in self._jobs and not job.sequences:
                self._finish(job, "stop", [])

    def _fail(self, failed: Sequence) -> None:
        """Nothing could be drawn: by its form, or because the model's logits are no numbers."""
        job = failed.job
        error = failed.form.error if failed.form else None
        if error is None:
            error = JobError("engine_failed", "the model gave logits that are no numbers")
            log.error("job failed", extra={"job": job.job_id, "model": self._name, "error": error.message})
            for sequence in job.sequences.values():
                self._erase(sequence)
        for sequence in job.sequences.values():
            self._scheduler.remove(sequence)
        self._outbox.fail(job, error)
        del self._jobs[job.job_id]
