"""Attention on a GPU by torch's `varlen_attn`, which reads the paged cache in place."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from workers.errors import LoadError
from workers.llm.attention.cache import LayerCache, LayerShape
from workers.llm.attention.paged import PagedAttention
from workers.llm.attention.scores import Scores
from workers.llm.steps.batch import Batch
from workers.llm.steps.upload import Array

# Of Flash Attention 2, which varlen_attn calls: compute capability, and the limits of `mha_varlen_fwd`.
MIN_CAPABILITY = (8, 0)
PAGE_TOKENS = 256
MAX_HEAD_SIZE = 256
HEAD_SIZE_STEP = 8


class Varlen(NamedTuple):
    """The function, and of what dtypes and cache blocks (a multiple of so many tokens) it takes."""

    attend: Callable[..., Any]
    dtypes: tuple[torch.dtype, ...] = (torch.float16, torch.bfloat16)
    page_tokens: int = PAGE_TOKENS

    def takes(self, shape: LayerShape) -> bool:
        size = shape.key_size
        is_size = size == shape.value_size and size <= MAX_HEAD_SIZE and size % HEAD_SIZE_STEP == 0
        return is_size and shape.dtype in self.dtypes


def find_varlen(device: torch.device) -> Varlen | None:
    """None where this torch or this device has none."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    # Older ones know no block tables.
    is_paged = {"block_table", "num_splits"} <= set(varlen_attn.__kwdefaults__ or {})
    return Varlen(varlen_attn) if is_paged else None


class VarlenStep(NamedTuple):
    """One step as all layers see it (S chunks, T tokens), on the device.

    `slots [T] int64`; int32: `query_ends` and `key_ends [S + 1]`, cumulative from 0, `num_keys [S]` and
    `block_tables [S, B]`. `max_queries` and `max_keys` bound a chunk's.
    """

    slots: Tensor
    query_ends: Tensor
    key_ends: Tensor
    num_keys: Tensor
    block_tables: Tensor
    max_queries: int
    max_keys: int


def step_arrays(batch: Batch) -> list[Array]:
    """The arrays of `VarlenStep`, in its order."""
    ends = batch.ends.astype(np.int32)
    key_ends = np.concatenate(([0], np.cumsum(ends)))
    others = (batch.offsets, key_ends, ends, batch.block_tables)
    return [batch.slots, *(array.astype(np.int32) for array in others)]


def make_step(batch: Batch, tensors: list[Tensor]) -> VarlenStep:
    """`tensors` are `step_arrays` on the device."""
    slots, query_ends, key_ends, num_keys, block_tables = tensors
    max_queries, max_keys = int(np.diff(batch.offsets).max()), int(batch.ends.max())
    return VarlenStep(slots, query_ends, key_ends, num_keys, block_tables, max_queries, max_keys)


class VarlenAttention(PagedAttention):
    """As `PagedAttention`, on the same cache; what the function does not know (caps, sinks) is left to it."""

    def __init__(self, cache: LayerCache, varlen: Varlen) -> None:
        super().__init__(cache)
        self._function = varlen.attend
        self.step: VarlenStep | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scores: Scores, window: int | None) -> Tensor:
        """Query `[1, H, T, D]`, key and value `[1, Hkv, T, D]` of the packed step → `[1, T, H, D]`."""
        step = self.step
        if step is None or scores.softcap is not None or scores.sinks is not None:
            if self.layout is None:
                raise LoadError("its attention has caps or sinks")
            return super().attend(query, key, value, scores, window)
        self.cache.write(step.slots, key[0].transpose(0, 1), value[0].transpose(0, 1))
        output: Tensor = self._function(
            _packed(query),
            self.cache.keys,
            self.cache.values,
            step.query_ends,
            step.key_ends,
            step.max_queries,
            step.max_keys,
            scale=scores.scaling,
            # It counts the keys to the left of a query's own; -1 for all.
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
            seqused_k=step.num_keys,
            block_table=step.block_tables,
            # In one piece a row's result does not depend on the other rows; and in several, rows of a paged
            # cache come out wrong (torch's issue 194167).
            num_splits=1,
        )
        return output.unsqueeze(0)


def _packed(query: Tensor) -> Tensor:
    """`[T, H, D]`, the channels of a head side by side."""
    packed = query[0].transpose(0, 1)
    return packed if packed.stride(2) == 1 else packed.contiguous()
