"""What the text-to-text models learn from: a plan, and batches that are functions of their number."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from random import Random
from typing import Any, TypeAlias

import torch

from workers.embedded.training.schedule import Schedule

Pair = tuple[str, str]
Draw = Callable[[Random], Pair]
# Rows of random tokens and what is copied from them: dice, size of the vocabulary, rows -> sources, targets.
Drill = Callable[[Random, int, int], tuple[list[list[int]], list[list[int]]]]
# Source ids and target ids, [B, S] and [B, T]; the target is padded with -100.
Batch = tuple[torch.Tensor, torch.Tensor]
Tokenizer: TypeAlias = Any
PAD_ID, END_ID, IGNORED = 0, 1, -100


@dataclass(frozen=True)
class Plan(Schedule):
    """How long and how fast to learn.

    The first `drills` steps copy rows of random tokens, `primer` more (whole chunks) read easy pairs.
    """

    batch_pairs: int = 64
    max_source: int = 160
    max_target: int = 160
    drills: int = 150
    primer: int = 0
    learning_rate: float = 1.3e-3
    decay: float = 0.7
    floor: float = 0.01
    weight_decay: float = 0.02
    save_every: int = 200
    chunk_batches: int = 32
    # A chunk is sorted by the length of the source (0) or of the target (1): the longer of the two.
    sort_side: int = 1
    seed: int = 20


def texts(draw: Draw, seed: int, size: int) -> Iterator[str]:
    """Both sides of so many pairs, for the tokenizer."""
    dice = Random(seed)
    return (text for _ in range(size) for text in draw(dice))


class Feed:
    """The batches of one run: pairs in chunks of many batches, sorted by length within a chunk."""

    def __init__(
        self,
        draw: Draw,
        tokenizer: Tokenizer,
        plan: Plan,
        drill: Drill | None = None,
        primer: Draw | None = None,
    ) -> None:
        self._draw, self._tokenizer, self._plan = draw, tokenizer.backend_tokenizer, plan
        self._vocabulary, self._copy = len(tokenizer), drill or copied
        self._primer = primer or draw
        self._chunk = lru_cache(maxsize=1)(self._make_chunk)

    def batch(self, step: int) -> Batch:
        """The rows of one step."""
        if step < self._plan.drills:
            return self._drill(step)
        at, place = divmod(step - self._plan.drills, self._plan.chunk_batches)
        return self._chunk(at)[place]

    def _drill(self, step: int) -> Batch:
        dice = Random(f"drill {self._plan.seed} {step}")
        sources, targets = self._copy(dice, self._vocabulary, self._plan.batch_pairs)
        return padded(sources, PAD_ID), padded(targets, IGNORED)

    def _make_chunk(self, at: int) -> list[Batch]:
        dice, plan = Random(f"chunk {self._plan.seed} {at}"), self._plan
        draw = self._primer if at * plan.chunk_batches < plan.primer else self._draw
        drawn = list(islice(self._fitting(dice, draw), plan.chunk_batches * plan.batch_pairs))
        side = plan.sort_side
        drawn.sort(key=lambda pair: (len(pair[side]), len(pair[1 - side])))
        groups = [drawn[n : n + plan.batch_pairs] for n in range(0, len(drawn), plan.batch_pairs)]
        dice.shuffle(groups)
        return [
            (padded([one for one, _ in group], PAD_ID), padded([two for _, two in group], IGNORED))
            for group in groups
        ]

    def _fitting(self, dice: Random, draw: Draw) -> Iterator[tuple[list[int], list[int]]]:
        for _ in count():
            source, target = (self._tokenizer.encode(text).ids for text in draw(dice))
            if len(source) <= self._plan.max_source and len(target) <= self._plan.max_target:
                yield source, target


def copied(dice: Random, vocabulary: int, rows: int) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of one length, each to be said again."""
    size = dice.randint(4, 20)
    said = [[*dice.choices(range(2, vocabulary), k=size), END_ID] for _ in range(rows)]
    return said, said


def padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    """Rows of different lengths as one tensor [B, longest]."""
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])
