"""Attention by our own kernel: reads block tables itself, nothing is gathered, padded or masked."""

import ctypes

import torch
from torch import Tensor

from workers.llm.attention.cache import LayerShape
from workers.llm.attention.scores import Scores
from workers.llm.kernels.library import Kernels, LayerStruct, StepStruct
from workers.llm.steps.batch import Batch, Ints


class StepTables:
    """The step under way as all kernels see it; keeps alive what the structure points to."""

    def __init__(self) -> None:
        self.struct = StepStruct()
        self.address = ctypes.addressof(self.struct)
        self._arrays: tuple[Ints, ...] = ()

    def lay_out(self, batch: Batch) -> None:
        self._arrays = (batch.starts, batch.ends, batch.offsets, batch.block_tables, batch.slots)
        struct = self.struct
        struct.num_chunks, struct.table_width = batch.block_tables.shape
        struct.starts, struct.ends, struct.offsets, struct.tables, struct.slots = (
            array.ctypes.data for array in self._arrays
        )


class KernelCache:
    """One layer's keys `[blocks, H, D / U, block_tokens, U]` and values `[blocks, H, block_tokens / U, D, U]`
    with U numbers in 32 bits, rounded up: as the processor multiplies them."""

    def __init__(self, shape: LayerShape, num_blocks: int, block_tokens: int) -> None:
        heads, unit = (num_blocks, shape.num_kv_heads), 4 // shape.dtype.itemsize
        key_units, token_units = -(-shape.key_size // unit), -(-block_tokens // unit)
        self.keys = torch.zeros(*heads, key_units, block_tokens, unit, dtype=shape.dtype)
        self.values = torch.zeros(*heads, token_units, shape.value_size, unit, dtype=shape.dtype)

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes

    def erase(self, blocks: list[int]) -> None:
        self.keys[blocks] = 0
        self.values[blocks] = 0


class KernelAttention:
    """One layer's attention, as `workers.llm.attention.paged.PagedAttention` in all that it gives."""

    def __init__(self, kernels: Kernels, shape: LayerShape, cache: KernelCache, tables: StepTables) -> None:
        self.cache = cache
        self.tables = tables
        self._attend = kernels.attend
        self._value_size = shape.value_size
        self.struct = LayerStruct(
            num_kv_heads=shape.num_kv_heads,
            key_size=shape.key_size,
            value_size=shape.value_size,
            block_tokens=cache.keys.shape[3],
            keys=cache.keys.data_ptr(),
            values=cache.values.data_ptr(),
        )
        self._address = ctypes.addressof(self.struct)
        self._seen: tuple[object, ...] = ()
        self._sinks: Tensor | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scores: Scores, window: int | None) -> Tensor:
        """Query `[1, H, T, D]`, key and value `[1, Hkv, T, D]` of the packed step → `[1, T, H, D]`."""
        query, key, value = self._readable(query), self._readable(key), self._readable(value)
        seen = (
            query.shape[1],
            query.stride(),
            key.stride(),
            value.stride(),
            *scores[:2],
            id(scores.sinks),
            window,
        )
        if seen != self._seen:
            self._settle(query, key, value)
            self.set_scores(scores, window)
            self._seen = seen
        output = query.new_empty(1, query.shape[2], query.shape[1], self._value_size)
        pointers = (tensor.data_ptr() for tensor in (query, key, value))
        if self._attend(self._address, self.tables.address, *pointers, None, None, output.data_ptr()):
            raise MemoryError("scores")
        return output

    def _readable(self, tensor: Tensor) -> Tensor:
        """In the cache's dtype, the channels of a head side by side."""
        tensor = tensor.to(self.cache.keys.dtype)
        return tensor if tensor.stride(3) == 1 else tensor.contiguous()

    def _settle(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        self.struct.num_heads = query.shape[1]
        for name, tensor in (("query", query), ("key", key), ("value", value)):
            setattr(self.struct, f"{name}_head", tensor.stride(1))
            setattr(self.struct, f"{name}_token", tensor.stride(2))

    def set_scores(self, scores: Scores, window: int | None) -> None:
        struct = self.struct
        struct.scaling = struct.key_size**-0.5 if scores.scaling is None else scores.scaling
        struct.softcap = scores.softcap or 0.0
        struct.window = window or 0
        self._sinks = None if scores.sinks is None else scores.sinks.float().contiguous()
        struct.sinks = None if self._sinks is None else self._sinks.data_ptr()
