"""Logits → token ids, all sequences of a step at once."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workers.llm.uniform import uniforms
from workers.messages import Sampling

FAILED = -1
# Nearly every nucleus lies within so many tokens; where one does not, all are sorted.
NUM_CANDIDATES = 1024


class Draw(NamedTuple):
    """One token to be drawn: the answer's `position`-th, counted from 0."""

    sampling: Sampling
    seed: int
    position: int


def sample(logits: Tensor, draws: list[Draw]) -> list[int]:
    """Draw from `logits [S, V]`; FAILED where the best of a row is no finite number.

    A token depends on its row's logits, seed, position and parameters alone, never on the other rows:
    the filters keep all tokens from a threshold up, and one uniform number picks among these in the
    order of the vocabulary.
    """
    logits = logits.float()
    best, token_ids = logits.max(-1)
    rows = [row for row, draw in enumerate(draws) if draw.sampling.temperature > 0]
    if rows:
        index = torch.tensor(rows, device=logits.device)
        scores = logits[index] - best[index].unsqueeze(1)
        token_ids[index] = _draw(scores, [draws[row] for row in rows])
    is_good = best.isfinite()
    ids: list[int] = torch.where(is_good, token_ids, FAILED).tolist()
    return ids


def _draw(scores: Tensor, draws: list[Draw]) -> Tensor:
    """From `scores [R, V]`, the best of each row 0, to token ids `[R]`."""
    scores = scores / _column([draw.sampling.temperature for draw in draws], scores)
    scores = scores.masked_fill(
        scores < _thresholds(scores, [draw.sampling for draw in draws]), float("-inf")
    )
    sums = scores.exp().cumsum(-1)
    totals = sums[:, -1:]
    numbers = uniforms([draw.seed for draw in draws], [draw.position for draw in draws])
    targets = torch.from_numpy(numbers).to(scores.device).unsqueeze(1) * totals
    # Rounding may lift a target to the total, past the last token that is kept.
    targets = torch.minimum(targets, totals.nextafter(torch.zeros_like(totals)))
    places = torch.searchsorted(sums, targets, right=True).squeeze(1)
    return places.clamp_(max=scores.shape[1] - 1)


def _thresholds(scores: Tensor, samplings: list[Sampling]) -> Tensor:
    """The lowest score `[R, 1]` that top_k, then top_p of what is left, then min_p let pass."""
    with np.errstate(divide="ignore"):
        thresholds = _column(np.log([sampling.min_p for sampling in samplings]).tolist(), scores)
    vocab_size = scores.shape[1]
    if any(0 < sampling.top_k < vocab_size or sampling.top_p < 1 for sampling in samplings):
        num_candidates = min(max(NUM_CANDIDATES, *(s.top_k for s in samplings)), vocab_size)
        thresholds = torch.maximum(thresholds, _top_thresholds(scores, samplings, num_candidates))
    # The best token always passes.
    return thresholds.clamp(max=0)


def _top_thresholds(scores: Tensor, samplings: list[Sampling], num_candidates: int) -> Tensor:
    top = scores.topk(num_candidates).values
    top_k = [s.top_k if 0 < s.top_k < num_candidates else num_candidates for s in samplings]
    is_limited = _column([0 < s.top_k < scores.shape[1] for s in samplings], scores).bool()
    by_k = top.gather(1, torch.tensor(top_k, device=scores.device).unsqueeze(1) - 1)
    by_k = by_k.masked_fill(~is_limited, float("-inf"))
    weights = top.exp().masked_fill(top < by_k, 0)
    sums = weights.cumsum(-1)
    totals = torch.where(is_limited, sums[:, -1:], scores.exp().sum(-1, keepdim=True))
    top_p = _column([s.top_p for s in samplings], scores)
    masses = top_p * totals
    if num_candidates < scores.shape[1] and ((sums[:, -1:] < masses) & (top_p < 1)).any():
        return _top_thresholds(scores, samplings, scores.shape[1])
    num_kept = (sums - weights < masses).sum(-1, keepdim=True).clamp(min=1)
    by_p = top.gather(1, num_kept - 1).masked_fill(top_p >= 1, float("-inf"))
    return torch.maximum(by_k, by_p)


def _column(values: list[float] | list[bool], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)
