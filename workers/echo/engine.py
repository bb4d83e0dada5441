"""Echo: each step sends every job's next word, so that what is measured is the house itself."""

import re
import time
from collections import deque
from itertools import accumulate

import msgspec

from config.settings import ModelSettings
from workers.engine import Engine
from workers.errors import JobError, LoadError
from workers.messages import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    ChoiceFinished,
    Event,
    Finished,
    JobId,
    Limits,
    Prompt,
    Sampling,
    Started,
    Stats,
    TextDelta,
    TextPrompt,
    TextWork,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)
from workers.tool_calls import ToolCallParser
from workers.trimming import num_answer_tokens, trimmed

VARIANT = re.compile(r"(echo|clock)(?:@([1-9]\d{0,5}))?")
WORD = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+$")


class EchoChoice:
    """One answer: the prompt's words, over and over until `max_tokens` of them are sent."""

    def __init__(self, index: int, words: list[str], num_sent: int, echo: str = "") -> None:
        self.index = index
        self.calls: ToolCallParser | None = None  # where there are tools to call
        self.words = words
        self.num_sent = num_sent
        self.echo = echo
        self.num_chars = len(echo) + sum(
            len(words[i % len(words)]) for i in range(num_sent)
        )  # of what was sent

    def next_word(self) -> str:
        word = self.words[self.num_sent % len(self.words)]
        self.num_sent += 1
        return word


class EchoJob:
    def __init__(self, job_id: JobId, work: TextWork, texts: list[list[str]]) -> None:
        self.job_id = job_id
        self.sampling = work.sampling
        self.prompt_tokens = 0
        sent = [len(ids) for ids in work.generated] or [0] * work.num_choices
        self.choices = deque(
            EchoChoice(i, words := texts[i // work.n], sent[i], "".join(words) if work.sampling.echo else "")
            for i in range(work.num_choices)
            if i not in work.done
        )
        for choice in self.choices:
            prompt = work.prompts[choice.index // work.n]
            if isinstance(prompt, ChatPrompt) and prompt.tools:
                choice.calls = ToolCallParser()
        self.completion_tokens = sum(sent)
        self.is_started = False

    def limit(self, choice: EchoChoice) -> int:
        return (
            self.sampling.max_tokens
            if self.sampling.ignore_eos
            else min(self.sampling.max_tokens, len(choice.words))
        )

    def reason(self, choice: EchoChoice) -> str:
        if self.sampling.ignore_eos or choice.num_sent < len(choice.words):
            return "length"
        return "tool_calls" if choice.calls and choice.calls.num_calls else "stop"

    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens)


class EchoEngine(Engine[TextWork]):
    """Tokens are words with the space before them; a token's id is its place in the prompt.

    The model's path names a variant: `echo`; `clock`, which sends the time of the step (seconds of
    the system-wide monotonic clock) in place of the words, so that a reader can tell how long they
    were under way; and either with `@N`, at most N steps a second, for an even pace.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self._max_num_seqs = settings.max_num_seqs
        self._max_model_len = settings.max_model_len
        self._name = name
        self.limits = Limits(settings.max_model_len, settings.max_num_seqs, 0, True, "echo")
        self._jobs: dict[JobId, EchoJob] = {}
        self._paused: set[JobId] = set()
        self._cancelled: set[JobId] = set()
        self._num_steps = 0
        variant = VARIANT.fullmatch(settings.path)
        if not variant:
            raise LoadError(
                f"echo: unknown variant {settings.path!r}; there is: echo, clock, echo@N, clock@N"
            )
        self._has_clock = variant[1] == "clock"
        self._step_s = 1 / int(variant[2]) if variant[2] else 0.0
        self._due = time.monotonic()

    def add(self, job_id: JobId, work: TextWork) -> Event:
        if work.form:
            message = f'model "{self._name}" gives prompts back: its answers cannot have a form'
            raise JobError("bad_params", message, "response_format")
        texts = [split(prompt) for prompt in work.prompts]
        sizes = [self._num_tokens(prompt, work.sampling.max_tokens) for prompt in work.prompts]
        for size in sizes:
            self._check(size)
        job = self._jobs[job_id] = EchoJob(job_id, work, texts)
        job.prompt_tokens = sum(sizes)
        return Accepted(job_id, job.prompt_tokens)

    def cancel(self, job_id: JobId) -> None:
        if job_id in self._jobs:
            self._cancelled.add(job_id)

    def pause(self, job_id: JobId) -> None:
        if job_id in self._jobs:
            self._paused.add(job_id)

    def resume(self, job_id: JobId) -> None:
        self._paused.discard(job_id)

    def has_work(self) -> bool:
        return bool(self._cancelled) or len(self._jobs) > len(self._paused)

    def step(self) -> list[Event]:
        self._num_steps += 1
        self._keep_pace()
        cancelled = [self._jobs[job_id] for job_id in self._cancelled]
        events: list[Event] = [
            self._end(job, "cancelled", [c.index for c in job.choices]) for job in cancelled
        ]
        self._cancelled.clear()
        for job in self._running():
            self._advance(job, events)
        return events

    def job_ids(self) -> list[JobId]:
        return list(self._jobs)

    def stats(self) -> Stats:
        num_active = len(self._jobs) - len(self._paused)
        num_running = min(num_active, self._max_num_seqs)
        return Stats(num_running, num_active - num_running, len(self._paused), self._num_steps)

    def _keep_pace(self) -> None:
        """Take as long as a device with this pace would."""
        now = time.monotonic()
        if now < self._due:
            time.sleep(self._due - now)
        self._due = max(now, self._due) + self._step_s

    def _num_tokens(self, prompt: Prompt, max_tokens: int) -> int:
        """Of a conversation its last message is read; of one that trims, all that is left."""
        if not (isinstance(prompt, ChatPrompt) and prompt.trims):
            return len(split(prompt))
        most, messages = self._max_model_len, prompt.messages
        if most:
            messages = trimmed(messages, most - num_answer_tokens(max_tokens, most), num_words)
        return sum(map(num_words, messages))

    def _check(self, num_tokens: int) -> None:
        if self._max_model_len and num_tokens > self._max_model_len:
            message = (
                f'prompt has {num_tokens} tokens > {self._max_model_len} (limit of model "{self._name}")'
            )
            raise JobError("context_length_exceeded", message, "prompt")

    def _running(self) -> list[EchoJob]:
        """The oldest `max_num_seqs` jobs that are not paused."""
        running = (job for job_id, job in self._jobs.items() if job_id not in self._paused)
        return [job for job, _ in zip(running, range(self._max_num_seqs), strict=False)]

    def _advance(self, job: EchoJob, events: list[Event]) -> None:
        if not job.is_started:
            job.is_started = True
            events.append(Started(job.job_id))
        for _ in range(len(job.choices)):
            choice = job.choices.popleft()
            if choice.num_sent < job.limit(choice):
                events.append(self._send(job, choice))
            elif choice.echo and not choice.num_sent:
                logprobs = self._read(job.sampling, choice)
                events.append(TextDelta(job.job_id, choice.index, choice.echo, [], 0, logprobs))
            if choice.num_sent < job.limit(choice):
                job.choices.append(choice)
            elif job.choices:
                events.append(ChoiceFinished(job.job_id, choice.index, job.reason(choice)))
            else:
                events.append(self._end(job, job.reason(choice), [choice.index]))

    def _send(self, job: EchoJob, choice: EchoChoice) -> TextDelta:
        job.completion_tokens += 1
        place = choice.num_sent % len(choice.words)
        word = choice.next_word()
        if self._has_clock:
            word = f" {time.monotonic():.6f}"
        echo = choice.echo if choice.num_sent == 1 else ""
        logprobs = self._logprobs(job.sampling, word, choice.num_chars)
        if echo:
            logprobs = self._read(job.sampling, choice) + logprobs
        choice.num_chars += len(word)
        text, calls = echo + word, list[ToolCallPart]()
        if choice.calls:
            text, calls = choice.calls.push(text, is_last=choice.num_sent == job.limit(choice))
        return TextDelta(job.job_id, choice.index, text, [place], choice.num_sent, logprobs, calls)

    def _read(self, sampling: Sampling, choice: EchoChoice) -> list[TokenLogprob]:
        """Of an echoed prompt's words; before the first there is nothing to expect it by."""
        offsets = accumulate(map(len, choice.words), initial=0)
        told = [
            token
            for word, offset in zip(choice.words, offsets, strict=False)
            for token in self._logprobs(sampling, word, offset)
        ]
        return [msgspec.structs.replace(told[0], logprob=None, top=[]), *told[1:]] if told else []

    def _logprobs(self, sampling: Sampling, word: str, offset: int) -> list[TokenLogprob]:
        """Nothing but this word could have come."""
        if sampling.top_logprobs is None:
            return []
        top = [TopLogprob(word, word.encode(), 0.0)] if sampling.top_logprobs else []
        return [TokenLogprob(word, word.encode(), 0.0, offset, top)]

    def _end(self, job: EchoJob, reason: str, ended: list[int]) -> Finished:
        del self._jobs[job.job_id]
        self._paused.discard(job.job_id)
        return Finished(job.job_id, reason, job.usage(), ended)


def split(prompt: Prompt) -> list[str]:
    """The prompt's tokens: never empty, and joined again they are the prompt."""
    match prompt:
        case TextPrompt(text):
            return _words(text)
        case ChatPrompt(messages):
            return _words(messages[-1].content)
        case _:
            return [f" {token_id}" for token_id in prompt.token_ids]


def num_words(message: ChatMessage) -> int:
    return len(_words(message.content))


def _words(text: str) -> list[str]:
    return WORD.findall(text) or [text]
