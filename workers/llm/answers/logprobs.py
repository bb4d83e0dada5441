"""How likely each sampled token was, and which others were likely: told with the text that it begins."""

from collections import deque
from typing import NamedTuple

import numpy as np
from torch import Tensor

from workers.llm.intake.vocabulary import Vocabulary
from workers.llm.sampling.sampler import Draw
from workers.llm.steps.upload import upload
from workers.messages import TokenLogprob, TopLogprob

# What no token can have becomes what the OpenAI API sends for it: JSON has no infinity.
LOWEST = -9999.0


class Likelihood(NamedTuple):
    """Of a sampled token, and of the best ones with their ids, the best first."""

    logprob: float
    top: list[tuple[int, float]]


class Likelihoods:
    """Of one step, for the rows that ask: by the model itself, before penalties, temperature and filters.

    Made before `logits [S, V]` are sampled from, which changes them.
    """

    def __init__(self, logits: Tensor, draws: list[Draw]) -> None:
        self._nums = {
            row: num for row, draw in enumerate(draws) if (num := draw.sampling.top_logprobs) is not None
        }
        if self._nums:
            (rows,) = upload([np.array(list(self._nums))], logits.device)
            self._table = _table(logits[rows])

    def of(self, token_ids: list[int]) -> dict[int, Likelihood]:
        """By row, where the rows' sampled tokens are `token_ids`."""
        if not self._nums:
            return {}
        # A row that failed has no token: any will do.
        sampled = [max(0, token_ids[row]) for row in self._nums]
        found = _look_up(self._table, sampled, max(self._nums.values()))
        return {
            row: likelihood._replace(top=likelihood.top[:num])
            for (row, num), likelihood in zip(self._nums.items(), found, strict=True)
        }


def likelihoods_of(logits: Tensor, token_ids: list[int], num_top: int) -> list[Likelihood]:
    """Of one token for each row of `logits [S, V]`, with the best `num_top`."""
    return _look_up(_table(logits), token_ids, num_top)


def _table(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(-1).clamp_(min=LOWEST)


def _look_up(table: Tensor, token_ids: list[int], num_top: int) -> list[Likelihood]:
    """Of a table of logprobs `[S, V]`."""
    (index,) = upload([np.array(token_ids)], table.device)
    logprobs: list[float] = table.gather(1, index.unsqueeze(1)).squeeze(1).tolist()
    top = table.topk(min(num_top, table.shape[1]))
    best = [
        list(zip(*row, strict=True)) for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
    return [Likelihood(logprob, tokens) for logprob, tokens in zip(logprobs, best, strict=True)]


class Trail:
    """A sequence's tokens whose text is not shown yet, in order."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._entries: deque[TokenLogprob] = deque()

    def add(self, token_id: int, likelihood: Likelihood | None, offset: int) -> None:
        """A token whose text begins after `offset` characters of the answer, or would if it had any."""
        others = likelihood.top if likelihood else []
        top = [TopLogprob(*self._vocabulary[other_id], logprob) for other_id, logprob in others]
        logprob = likelihood.logprob if likelihood else None
        self._entries.append(TokenLogprob(*self._vocabulary[token_id], logprob, offset, top))

    def take(self, num_shown: int) -> list[TokenLogprob]:
        """Those whose text begins within what is shown."""
        taken = []
        while self._entries and self._entries[0].offset < num_shown:
            taken.append(self._entries.popleft())
        return taken

    def take_all(self) -> list[TokenLogprob]:
        taken, self._entries = list(self._entries), deque()
        return taken
