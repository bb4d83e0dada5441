"""Drives an engine by hand and checks, event by event, what every engine promises."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import torch

from config.load import DEFAULT_FILE, Layers
from config.settings import ModelSettings
from workers.llm.engine import LlmEngine
from workers.llm.steps.runner import Runner
from workers.messages import (
    Accepted,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Sampling,
    Started,
    TextDelta,
    TextWork,
    TokenPrompt,
)

GREEDY = Sampling(max_tokens=12, temperature=0.0, ignore_eos=True)


def make_settings(path: Path | str, **overrides: Any) -> ModelSettings:
    """The shipped defaults, with a cache that is small enough for a test."""
    layers = Layers()
    layers.lay_file(DEFAULT_FILE)
    defaults = layers.build().model_defaults
    return msgspec.structs.replace(defaults, **({"path": str(path), "cache_bytes": 1 << 22} | overrides))


def little_cache(path: Path | str, num_blocks: int) -> dict[str, Any]:
    """Settings of a cache of so many blocks of 4 tokens each."""
    return {"block_tokens": 4, "cache_bytes": Driver(path, block_tokens=4).token_bytes * 4 * num_blocks}


def change(sampling: Sampling, **values: Any) -> Sampling:
    return msgspec.structs.replace(sampling, **values)


class Answer:
    def __init__(self) -> None:
        self.text = ""
        self.token_ids: list[int] = []
        self.reason: str | None = None


class Transcript:
    """All that one job's events said so far."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.is_accepted = False
        self.is_started = False
        self.end: Finished | Failed | None = None

    def hear(self, event: Event) -> None:
        assert self.end is None, f"{event} after {self.end}"
        assert self.is_accepted or isinstance(event, Accepted | Failed | Finished)
        match event:
            case Started():
                assert not self.is_started
                self.is_started = True
            case TextDelta(_, index, text, token_ids, num_tokens):
                self._hear_text(index, text, token_ids, num_tokens)
            case ChoiceFinished(_, index, reason):
                self._end_choice(index, reason)
            case Finished(_, reason, _, ended):
                for index in ended:
                    self._end_choice(index, reason)
                self.end = event
            case Failed():
                self.end = event
            case Accepted():
                assert not self.is_accepted
                self.is_accepted = True

    def _hear_text(self, index: int, text: str, token_ids: list[int], num_tokens: int) -> None:
        answer = self.answers.setdefault(index, Answer())
        assert answer.reason is None
        assert token_ids or text
        answer.text += text
        answer.token_ids += token_ids
        assert num_tokens >= len(answer.token_ids)

    def _end_choice(self, index: int, reason: str) -> None:
        answer = self.answers.setdefault(index, Answer())
        assert answer.reason is None
        answer.reason = reason


class Driver:
    """One engine and the transcripts of its jobs."""

    def __init__(self, path: Path | str, **settings: Any) -> None:
        self.engine = LlmEngine("test", make_settings(path, **settings))
        self.transcripts: dict[int, Transcript] = {}
        self._ids = itertools.count(1)

    @property
    def runner(self) -> Runner:
        return self.engine._flights._runner

    @property
    def token_bytes(self) -> int:
        """Bytes of the cache that one token takes."""
        return self.runner.token_bytes

    def add(self, work: TextWork) -> int:
        job_id = next(self._ids)
        event = self.engine.add(job_id, work)
        self.transcripts[job_id] = Transcript()
        if event is not None:
            self.transcripts[job_id].hear(event)
        return job_id

    def add_tokens(self, token_ids: list[int], sampling: Sampling = GREEDY, **work: Any) -> int:
        return self.add(TextWork([TokenPrompt(token_ids)], sampling, **work))

    def run_among_leavers(self, prompts: list[list[int]], sampling: Sampling) -> list[int]:
        """Each joins beside one who leaves after a step; to the end of all. The jobs of those who stay."""
        job_ids = []
        for prompt in prompts:
            job_ids.append(self.add_tokens(prompt, sampling))
            leaver = self.add_tokens(prompt[::-1], sampling)
            self.step()
            self.engine.cancel(leaver)
        self.run()
        return job_ids

    def generate_paused(self, token_ids: list[int], sampling: Sampling, num_steps: int) -> Answer:
        """As `generate`, but paused after so many steps, until another has taken of its memory."""
        job_id = self.add_tokens(token_ids, sampling)
        for _ in range(num_steps):
            self.step()
        self.engine.pause(job_id)
        self.add_tokens(token_ids * 5, change(sampling, max_tokens=5))
        self.run()
        assert self.engine.stats().num_preemptions == 1
        self.engine.resume(job_id)
        self.run()
        return self.answer(job_id)

    def spoil(self, job_id: int) -> None:
        """What is cached of its first choice is no number any more."""
        blocks = self.engine._jobs[job_id].sequences[0].block_table
        with torch.inference_mode():
            for attention in self.runner._attentions:
                attention.cache.keys[blocks] = torch.nan
                attention.cache.values[blocks] = torch.nan

    def step(self) -> list[Event]:
        events = self.engine.step()
        deltas = [(e.job_id, e.index) for e in events if isinstance(e, TextDelta)]
        assert len(deltas) == len(set(deltas)), "two deltas of a choice in a step"
        for event in events:
            self.transcripts[event.job_id].hear(event)
        return events

    def run(self) -> None:
        """To the end of all that is not paused; then nothing may be left of it."""
        while self.engine.has_work():
            self.step()
        if not self.engine.stats().num_paused:
            self.check_idle()

    def check_idle(self) -> None:
        assert self.engine.job_ids() == []
        stats = self.engine.stats()
        assert (stats.num_running, stats.num_waiting, stats.num_paused) == (0, 0, 0)
        assert stats.cache_usage == 0
        assert all(transcript.end is not None for transcript in self.transcripts.values())

    def answer(self, job_id: int, index: int = 0) -> Answer:
        return self.transcripts[job_id].answers[index]

    def token_ids(self, job_id: int, index: int = 0) -> list[int]:
        return self.answer(job_id, index).token_ids

    def generate(self, token_ids: list[int], sampling: Sampling = GREEDY, **work: Any) -> Answer:
        """One prompt, alone, to its end."""
        job_id = self.add_tokens(token_ids, sampling, **work)
        self.run()
        return self.answer(job_id)
