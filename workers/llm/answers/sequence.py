"""One answer to one prompt, and one job's set of them."""

from workers.detokenizer import Detokenizer
from workers.llm.answers.logprobs import Likelihood, Trail
from workers.llm.answers.reading import Reading
from workers.llm.answers.stops import StopFinder
from workers.llm.forms.grammar import Form, Grammar
from workers.llm.sampling.penalties import Biases, TokenCounts
from workers.llm.sampling.sampler import Draw
from workers.llm.scheduling.lookup import Drafter
from workers.messages import JobId, Sampling, ToolCallPart, Usage
from workers.tool_calls import ToolCallParser

_NONE: frozenset[int] = frozenset()


class Job:
    """What the sequences of one job share. The tokens in `end_ids` end each of them."""

    def __init__(self, job_id: JobId, sampling: Sampling, eos_ids: frozenset[int] = frozenset()) -> None:
        self.job_id = job_id
        self.sampling = sampling
        self.biases = Biases.of(sampling)
        self.owner = ""
        self.priority = 0
        self.adapter = 0  # the number of the one that answers, counted from 1; 0 for the model itself
        self.end_ids = frozenset(sampling.stop_token_ids) | (frozenset() if sampling.ignore_eos else eos_ids)
        self.grammar: Grammar | None = None  # of the form that each answer has to have
        self.sequences: dict[int, Sequence] = {}  # those that have not ended, by choice index
        self.prompt_tokens = 0
        self.cached_tokens = 0  # of the prompts', those that somebody else had computed
        self.completion_tokens = 0
        self.is_started = False
        self.is_paused = False

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens, cached_tokens=self.cached_tokens)


class Answer:
    """The text of one answer as it grows: detokenised, stop strings held back, after an echoed prompt."""

    def __init__(self, detokenizer: Detokenizer, stops: list[str], echo: str = "") -> None:
        self._detokenizer = detokenizer
        self._finder = StopFinder(stops)
        self._echo = echo  # as far as it is not shown
        self.num_chars = len(echo)  # of the whole text so far
        self._num_shown = len(echo)

    @property
    def has_stopped(self) -> bool:
        return self._finder.has_stopped

    @property
    def num_shown(self) -> int:
        """Characters of the text that may be shown so far."""
        return self._num_shown - len(self._echo)

    def show_echo(self, num_chars: int) -> str:
        """The echo's text up to so many characters, as far as it is not shown; the rest is left to `push`."""
        num_new = max(0, num_chars - self.num_shown)
        text, self._echo = self._echo[:num_new], self._echo[num_new:]
        return text

    def push(self, token_id: int, *, may_stop: bool = True) -> str:
        """The text that may be shown now; only where it `may_stop` are stop strings looked for."""
        return self._show(self._detokenizer.push(token_id), may_stop)

    def flush(self) -> str:
        """The rest of the text; nothing is held back after it."""
        if self.has_stopped:
            return ""
        text = self._show(self._detokenizer.flush(), may_stop=True)
        if self.has_stopped:
            return text
        rest = self._finder.flush()
        self._num_shown += len(rest)
        return text + rest

    def _show(self, text: str, may_stop: bool) -> str:
        self.num_chars += len(text)
        shown = self._finder.push(text) if may_stop else text
        self._num_shown += len(shown)
        echo, self._echo = self._echo, ""
        return echo + shown


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
        self.num_flights = 0  # steps under way that it has a part in
        self.has_left = False  # the scheduler: whatever is drawn for it now is dropped
        self.num_charged_tokens = 0  # of those that were ever computed
        self.num_found_tokens = 0  # that somebody else had computed
        self.block_table: list[int] = []
        self.digests: list[bytes] = []  # of its full blocks
        self.unsent_ids: list[int] = []
        self.trail: Trail | None = None  # where logprobs are asked for
        self.reading: Reading | None = None  # where the prompt's own logprobs are asked for
        self.form: Form | None = None  # where the answer has to have one
        self.calls: ToolCallParser | None = None  # where there are tools to call
        self.drafter: Drafter | None = None  # where its next tokens were to be guessed

    @property
    def num_tokens(self) -> int:
        """Tokens of the answer so far."""
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_pending_tokens(self) -> int:
        return len(self.token_ids) - self.num_cached_tokens

    @property
    def is_reading(self) -> bool:
        return self.reading is not None and not self.reading.is_over

    @property
    def first_asked(self) -> int:
        """The first place whose logits are needed: the last, but in a prompt that is read."""
        if self.reading is not None and not self.reading.is_over:
            return self.reading.num_read - 1
        return len(self.token_ids) - 1

    @property
    def goes_on(self) -> bool:
        """Whether there is a token after the next, as far as their number tells."""
        return not self.has_left and self.num_tokens + 1 < self.max_tokens

    @property
    def needs_its_tokens(self) -> bool:
        """Whether the host has to know a token before the next: to count it, for a form, to tell about it."""
        return self.counts is not None or self.form is not None or self.trail is not None

    def draw(self, num_ahead: int = 0) -> Draw:
        """What the sampler needs for the next token, or for that after so many more."""
        position = self.num_tokens + num_ahead
        barred = _NONE if self._may_end(position) else self.job.end_ids
        return Draw(self.job.sampling, self.seed, position, self.counts, self.job.biases, barred)

    def _may_end(self, num_tokens: int) -> bool:
        """Whether an answer of so many tokens has as many as it must."""
        return num_tokens >= self.job.sampling.min_tokens

    def restore(self, generated: list[int]) -> None:
        """Take over an answer's beginning that was sent already: its text goes nowhere."""
        for token_id in generated:
            self._add(token_id)

    def constrain(self, form: Form) -> None:
        """The answer has to have this form; what there is of it has."""
        self.form = form
        for token_id in self.token_ids[self.num_prompt_tokens :]:
            self._advance(token_id)

    def append(self, token_id: int, likelihood: Likelihood | None = None) -> str:
        """Add a sampled token; return the text to show."""
        if self.trail is not None and likelihood is not None:
            self.trail.add(token_id, likelihood, self.answer.num_chars)
        self.unsent_ids.append(token_id)
        self.job.completion_tokens += 1
        return self._add(token_id)

    def _add(self, token_id: int) -> str:
        self.token_ids.append(token_id)
        if self.counts is not None:
            self.counts.add(token_id)
        self._advance(token_id)
        return self.answer.push(token_id, may_stop=self._may_end(self.num_tokens))

    def _advance(self, token_id: int) -> None:
        if self.form is not None and token_id not in self.job.end_ids:
            self.form.advance(token_id)

    def divide(self, text: str, *, is_last: bool = False) -> tuple[str, list[ToolCallPart]]:
        """The part of the answer's next text that may be shown, and what is new of its tool calls."""
        return self.calls.push(text, is_last=is_last) if self.calls else (text, [])

    @property
    def has_called(self) -> bool:
        return self.calls is not None and self.calls.num_calls > 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing can be added to the answer."""
        return self.end_reason() is not None

    def end_reason(self) -> str | None:
        """Why the answer is complete after its last token, or None."""
        if self.is_reading:
            return None
        if self.answer.has_stopped:
            return "stop"
        if self.num_tokens > 0 and self.token_ids[-1] in self.job.end_ids:
            return "stop"
        if self.form is not None and self.form.is_complete:
            return "stop"
        return "length" if self.num_tokens >= self.max_tokens else None
