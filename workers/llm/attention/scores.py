"""How attention layers turn products of queries and keys into weights."""

from typing import NamedTuple

from torch import Tensor


class Scores(NamedTuple):
    """What a layer asks for beside its queries, keys and values."""

    scaling: float | None
    softcap: float | None
    sinks: Tensor | None  # [H]: scores of a key that is not there (gpt-oss)
