"""The paged cache: keys and values of all layers, in blocks."""

from typing import NamedTuple

import torch
from torch import Tensor


class LayerShape(NamedTuple):
    """One attention layer's keys and values for one token."""

    num_kv_heads: int
    key_size: int
    value_size: int
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        return self.num_kv_heads * (self.key_size + self.value_size) * self.dtype.itemsize


class LayerCache:
    """One layer's keys `[blocks, block_tokens, H, D]` and values; H and D may differ per layer."""

    def __init__(self, shape: LayerShape, num_blocks: int, block_tokens: int, device: torch.device) -> None:
        size = (num_blocks, block_tokens, shape.num_kv_heads)
        self.keys = torch.zeros(*size, shape.key_size, dtype=shape.dtype, device=device)
        self.values = torch.zeros(*size, shape.value_size, dtype=shape.dtype, device=device)

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def write(self, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put `keys` and `values` `[T, H, D]` at `slots [T]`: `block_tokens` of a block before the next's."""
        self.keys.flatten(0, 1).index_copy_(0, slots, keys)
        self.values.flatten(0, 1).index_copy_(0, slots, values)

    def read(self, blocks: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
        """The first `num_tokens` (N) tokens in `blocks [S, B]`: keys and values `[S, H, N, D]`."""
        return _gather(self.keys, blocks, num_tokens), _gather(self.values, blocks, num_tokens)

    def erase(self, blocks: list[int]) -> None:
        self.keys[blocks] = 0
        self.values[blocks] = 0


def _gather(pool: Tensor, blocks: Tensor, num_tokens: int) -> Tensor:
    num_rows, num_blocks = blocks.shape
    block_tokens, num_heads, size = pool.shape[1:]
    taken = pool.index_select(0, blocks.flatten())
    return taken.view(num_rows, num_blocks * block_tokens, num_heads, size)[:, :num_tokens].transpose(1, 2)
