"""What a step brings: each answer its tokens and their text, and those that are complete their end."""

import logging
from math import isfinite

from torch import Tensor

from workers.errors import JobError
from workers.llm.answers.logprobs import likelihoods_of
from workers.llm.answers.outbox import Outbox
from workers.llm.answers.sequence import Job, Sequence
from workers.llm.sampling.sampler import FAILED
from workers.llm.scheduling.chunks import Chunk
from workers.llm.scheduling.scheduler import Scheduler
from workers.llm.steps.batch import Batch
from workers.llm.steps.flight import Drawn, Flight
from workers.llm.steps.runner import Runner
from workers.messages import JobId

log = logging.getLogger(__name__)


class Landing:
    """Lands flights in their order. A job that ends leaves `jobs`; its terminal event is in the outbox."""

    def __init__(
        self, runner: Runner, scheduler: Scheduler, outbox: Outbox, jobs: dict[JobId, Job], model: str
    ) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._outbox = outbox
        self._jobs = jobs
        self._model = model

    def land(self, flight: Flight) -> None:
        """Each sequence whose last token was computed gets its next, or several; who has left gets none."""
        self._start(flight.batch.chunks)
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

    def end_complete(self, job: Job) -> None:
        """End those of the job's answers that nothing can be added to, and the job if it has no others."""
        for sequence in [s for s in job.sequences.values() if s.is_complete]:
            self._end(sequence, "")
        if job.job_id in self._jobs and not job.sequences:
            self._finish(job, "stop", [])

    def end_cancelled(self, job: Job) -> None:
        """End a job whose sequences have left the scheduler, with what was made so far."""
        for sequence in job.sequences.values():
            self._outbox.rest(sequence, sequence.answer.flush(), "cancelled")
        self._finish(job, "cancelled", list(job.sequences))

    def refuse(self, job: Job, error: JobError) -> None:
        """End a job that cannot go on."""
        self._outbox.fail(job, error)
        del self._jobs[job.job_id]

    def _start(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            job = chunk.sequence.job
            if not (job.is_started or chunk.sequence.has_left):
                job.is_started = True
                self._outbox.start(job)

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
            elif sequence.is_complete:
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
            if sequence.is_complete or (token_id,) != chunk.drafts[num_accepted : num_accepted + 1]:
                break
        if chunk.drafts:
            self._settle(chunk, num_accepted, drawn)
        if sequence.is_complete:
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

    def _fail(self, failed: Sequence) -> None:
        """Nothing could be drawn: by its form, or because the model's logits are no numbers."""
        job = failed.job
        error = failed.form.error if failed.form else None
        if error is None:
            error = JobError("engine_failed", "the model gave logits that are no numbers")
            log.error("job failed", extra={"job": job.job_id, "model": self._model, "error": error.message})
            for sequence in job.sequences.values():
                self._erase(sequence)
        for sequence in job.sequences.values():
            self._scheduler.remove(sequence)
        self.refuse(job, error)
