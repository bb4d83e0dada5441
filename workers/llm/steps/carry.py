"""Tokens from one step to the next without the host: drawn on the device, and the next one's input there."""

from typing import NamedTuple

import torch
from torch import Tensor

from workers.llm.steps.batch import Ints


class Carry(NamedTuple):
    """Where `sources [T]` is not -1 a step's input is that row of `ids [S']`, which the step before draws."""

    ids: Tensor
    sources: Ints

    def fill(self, input_ids: Tensor, sources: Tensor) -> None:
        """Write them in `input_ids [T]`; `sources` are ours, on the device."""
        # A row that failed has no token: any will do, as nobody is going to see what follows.
        drawn = self.ids.index_select(0, sources.clamp(min=0)).clamp_(min=0)
        input_ids.copy_(torch.where(sources >= 0, drawn, input_ids))
