"""Tokens get from one step to the next, and nothing else does."""

import numpy as np
import torch

from workers.llm.sampling.sampler import FAILED
from workers.llm.steps.carry import Carry
from workers.llm.steps.readout import begin_readout


def test_only_what_was_drawn_is_replaced() -> None:
    """And what could not be drawn becomes a token that there is, as a model may not look up any other."""
    carry = Carry(torch.tensor([50, FAILED, 70]), np.array([-1, 2, -1, 0, 1]))
    input_ids = torch.tensor([1, 2, 3, 4, 5])
    carry.fill(input_ids, torch.from_numpy(carry.sources))
    assert input_ids.tolist() == [1, 70, 3, 50, 0]


def test_on_a_host_what_was_sent_is_read() -> None:
    readout = begin_readout(torch.device("cpu"))
    ids = torch.tensor([3, FAILED])
    readout.send(ids)
    ids.zero_()
    assert readout.read() == [3, FAILED]
    assert readout.step_s > 0
