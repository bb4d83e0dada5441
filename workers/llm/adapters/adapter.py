"""An adapter: what a LoRA adds to a model's layers, as peft read it and the engine computes it.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021).
"""

from typing import NamedTuple

from torch import Tensor


class LowRank(NamedTuple):
    """What an adapter adds to a layer's output, `x @ down.T @ up.T`: `down [R, in]`, `up [out, R]`."""

    down: Tensor
    up: Tensor


class Adapter(NamedTuple):
    """`layers` by their names in the model; `expected [V]`: what peft says to the self-check's tokens."""

    name: str
    layers: dict[str, LowRank]
    expected: Tensor
