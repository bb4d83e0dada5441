"""One answer to one prompt, and one job's set of them."""

from workers.detokenizer import Detokenizer
from workers.llm.logprobs import Likelihood, Trail
from workers.llm.penalties import TokenCounts
from workers.llm.stops import StopFinder
from workers.messages import JobId, Sampling, Usage


class Job:
    """What the sequences of one job share."""

    def __init__(self, job_id: JobId, sampling: Sampling) -> None:
        self.job_id = job_id
        self.sampling = sampling
        self.sequences: dict[int, Sequence] = {}  # those that have not ended, by choice index
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.is_started = False
        self.is_paused = False

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens)


class Answer:
    """The text of one answer as it grows: detokenised, stop strings held back."""

    def __init__(self, detokenizer: Detokenizer, stops: list[str]) -> None:
        self._detokenizer = detokenizer
        self._finder = StopFinder(stops)
        self.num_chars = 0  # of the whole text so far, and of what may be shown of it
        self.num_shown = 0

    @property
    def has_stopped(self) -> bool:
        return self._finder.has_stopped

    def push(self, token_id: int) -> str:
        return self._show(self._detokenizer.push(token_id))

    def flush(self) -> str:
        """The rest of the text; nothing is held back after it."""
        if self.has_stopped:
            return ""
        text = self._show(self._detokenizer.flush())
        if self.has_stopped:
            return text
        rest = self._finder.flush()
        self.num_shown += len(rest)
        return text + rest

    def _show(self, text: str) -> str:
        self.num_chars += len(text)
        shown = self._finder.push(text)
        self.num_shown += len(shown)
        return shown


class Sequence:
    """A prompt and its answer so far.

    `token_ids` are both; the first `num_cached_tokens` of them have keys and values in the blocks of
    `block_table`. The last is sampled but not computed yet: to a step a decode is a prefill of one.
    """

    def __init__(self, job: Job, index: int, prompt_ids: list[int], answer: Answer) -> None:
        self.job = job
        self.index = index
        self.token_ids = list(prompt_ids)
        self.num_prompt_tokens = len(prompt_ids)
        self.answer = answer
        self.counts = TokenCounts.of(job.sampling, prompt_ids)
        self.age = 0  # place in the order of arrival
        self.max_tokens = 0
        self.seed = 0
        self.num_cached_tokens = 0
        self.block_table: list[int] = []
        self.unsent_ids: list[int] = []
        self.trail: Trail | None = None  # where logprobs are asked for

    @property
    def num_tokens(self) -> int:
        """Tokens of the answer so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_pending_tokens(self) -> int:
        return len(self.token_ids) - self.num_cached_tokens

    def restore(self, generated: list[int]) -> None:
        """Take over an answer's beginning that was sent already: its text goes nowhere."""
        self.token_ids += generated
        for token_id in generated:
            self._note(token_id)

    def append(self, token_id: int, likelihood: Likelihood | None = None) -> str:
        """Add a sampled token; return the text to show."""
        if self.trail is not None and likelihood is not None:
            self.trail.add(token_id, likelihood, self.answer.num_chars)
        self.token_ids.append(token_id)
        self.unsent_ids.append(token_id)
        self.job.completion_tokens += 1
        return self._note(token_id)

    def _note(self, token_id: int) -> str:
        if self.counts is not None:
            self.counts.add(token_id)
        return self.answer.push(token_id)

    def end_reason(self, eos_ids: frozenset[int]) -> str | None:
        """Why the answer is complete after its last token, or None."""
        if self.answer.has_stopped:
            return "stop"
        is_eos = self.num_tokens > 0 and self.token_ids[-1] in eos_ids
        if is_eos and not self.job.sampling.ignore_eos:
            return "stop"
        return "length" if self.num_tokens >= self.max_tokens else None
