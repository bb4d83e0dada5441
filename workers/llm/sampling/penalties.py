"""What the tokens of a sequence so far, and its job's wishes, do to the logits of its next one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workers.llm.steps.upload import upload
from workers.messages import Sampling

if TYPE_CHECKING:
    from workers.llm.sampling.sampler import Draw

FIRST_CAPACITY = 64


class TokenCounts:
    """The different tokens of a sequence, and how often its answer has each; grown token by token.

    A step concatenates these arrays, whatever their length: nothing is counted twice.
    """

    def __init__(self, prompt_ids: Iterable[int] = ()) -> None:
        self._places = {token_id: place for place, token_id in enumerate(dict.fromkeys(prompt_ids))}
        capacity = max(FIRST_CAPACITY, 2 * len(self._places))
        self._ids = np.zeros(capacity, np.int64)
        self._ids[: len(self._places)] = list(self._places)
        self._counts = np.zeros(capacity, np.float32)

    @classmethod
    def of(cls, sampling: Sampling, prompt_ids: Iterable[int]) -> Self | None:
        """What such sampling needs to know: only repetition_penalty looks at the prompt too."""
        if sampling.repetition_penalty != 1:
            return cls(prompt_ids)
        return cls() if sampling.presence_penalty or sampling.frequency_penalty else None

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        return self._ids[: len(self)]

    @property
    def counts(self) -> npt.NDArray[np.float32]:
        """For each of `ids`, its number in the answer; 0 where only the prompt has it."""
        return self._counts[: len(self)]

    def add(self, token_id: int) -> None:
        """One more token of the answer."""
        place = self._places.setdefault(token_id, len(self))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[place] = token_id
        self._counts[place] += 1


class Biases(NamedTuple):
    """A job's, as arrays: a thousand are looked at once, not at each step."""

    ids: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, sampling: Sampling) -> Self | None:
        bias = sampling.logit_bias
        ids = np.array([token.token_id for token in bias], np.int64)
        return cls(ids, np.array([token.bias for token in bias], np.float32)) if bias else None


def adjust(logits: Tensor, draws: "list[Draw]") -> None:
    """Change `logits [S, V]` in place, in those rows alone that ask for it.

    repetition_penalty (Keskar et al.: CTRL, 2019) comes first, as it scales what the model gave; then
    presence and frequency are taken off, and the biases are added. What is barred cannot come.
    """
    if rows := [row for row, draw in enumerate(draws) if draw.counts is not None]:
        _penalise(logits, rows, draws)
    if rows := [row for row, draw in enumerate(draws) if draw.biases is not None]:
        _bias(logits, rows, draws)
    if rows := [row for row, draw in enumerate(draws) if draw.barred]:
        _bar(logits, rows, draws)


def _penalise(logits: Tensor, rows: list[int], draws: "list[Draw]") -> None:
    counts = [known for row in rows if (known := draws[row].counts) is not None]
    sizes = [len(known) for known in counts]
    samplings = [draws[row].sampling for row in rows]

    def spread(values: list[float]) -> npt.NDArray[np.float32]:
        return np.repeat(np.array(values, np.float32), sizes)

    arrays = [
        np.repeat(rows, sizes),
        np.concatenate([known.ids for known in counts]),
        np.concatenate([known.counts for known in counts]),
        spread([sampling.repetition_penalty for sampling in samplings]),
        spread([sampling.frequency_penalty for sampling in samplings]),
        spread([sampling.presence_penalty for sampling in samplings]),
    ]
    row, id_, number, repetition, frequency, presence = upload(arrays, logits.device)
    scores = logits[row, id_]
    scores = torch.where(scores > 0, scores / repetition, scores * repetition)
    logits[row, id_] = scores - frequency * number - presence * (number > 0)


def _bias(logits: Tensor, rows: list[int], draws: "list[Draw]") -> None:
    biases = [known for row in rows if (known := draws[row].biases) is not None]
    arrays = [
        np.repeat(rows, [len(known.ids) for known in biases]),
        np.concatenate([known.ids for known in biases]),
        np.concatenate([known.values for known in biases]),
    ]
    row, id_, values = upload(arrays, logits.device)
    logits[row, id_] += values


def _bar(logits: Tensor, rows: list[int], draws: "list[Draw]") -> None:
    barred = [(row, token_id) for row in rows for token_id in draws[row].barred]
    row, id_ = upload([np.array(column) for column in zip(*barred, strict=True)], logits.device)
    logits[row, id_] = float("-inf")
