"""One step's events, in order."""

from workers.errors import JobError
from workers.llm.answers.sequence import Job, Sequence
from workers.messages import (
    Accepted,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallPart,
)


class Outbox:
    """Collects events until the step hands them over. At most one TextDelta per choice and step."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def accept(self, job: Job) -> None:
        self._events.append(Accepted(job.job_id, job.prompt_tokens))

    def start(self, job: Job) -> None:
        self._events.append(Started(job.job_id))

    def text(self, sequence: Sequence, text: str) -> None:
        """The ids of tokens whose text was held back go along."""
        shown, calls = sequence.divide(text)
        if shown or calls:
            self._tell(sequence, shown, calls, self._logprobs(sequence))

    def rest(self, sequence: Sequence, text: str, reason: str) -> None:
        """An answer's last text. A token without text, such as the one that ends it, counts too.

        Where it stopped, tokens of which nothing is shown are no part of the answer. But who has the prompt
        read counts tokens: then the one that ends the answer is told.
        """
        shown, calls = sequence.divide(text, is_last=True)
        has_all = reason != "stop" or (sequence.reading is not None and not sequence.answer.has_stopped)
        logprobs = sequence.trail.take_all() if sequence.trail and has_all else self._logprobs(sequence)
        if shown or calls or logprobs or sequence.unsent_ids:
            self._tell(sequence, shown, calls, logprobs)

    def _logprobs(self, sequence: Sequence) -> list[TokenLogprob]:
        return sequence.trail.take(sequence.answer.num_shown) if sequence.trail else []

    def _tell(
        self, sequence: Sequence, text: str, calls: list[ToolCallPart], logprobs: list[TokenLogprob]
    ) -> None:
        ids, sequence.unsent_ids = sequence.unsent_ids, []
        job_id, num_tokens = sequence.job.job_id, sequence.num_tokens
        self._events.append(TextDelta(job_id, sequence.index, text, ids, num_tokens, logprobs, calls))

    def end_choice(self, sequence: Sequence, reason: str) -> None:
        self._events.append(ChoiceFinished(sequence.job.job_id, sequence.index, reason))

    def end(self, job: Job, reason: str, ended: list[int]) -> None:
        self._events.append(Finished(job.job_id, reason, job.usage, ended))

    def fail(self, job: Job, error: JobError) -> None:
        self._events.append(Failed(job.job_id, error.code, error.message, error.param, job.usage))
