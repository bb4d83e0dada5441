"""Modules of our own that stand in for a model's: the same results from packed products and kernels."""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from workers.llm.kernels.attention import KernelAttention
from workers.llm.kernels.library import Kernels, LayerStruct
from workers.llm.packing import Product


class FastNorm(nn.Module):
    """RMSNorm over the last dimension."""

    def __init__(self, kernels: Kernels, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight = weight.detach().contiguous()
        self.eps = eps
        self._size = len(weight)
        self._rms_norm = kernels.rms_norm

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.is_contiguous() else x.contiguous()
        output = torch.empty_like(x)
        rows = x.numel() // self._size
        self._rms_norm(x.data_ptr(), self.weight.data_ptr(), output.data_ptr(), rows, self._size, self.eps)
        return output


class FastGated(nn.Module):
    """`down(activation(gate(x)) * up(x))`, gate and up as one product."""

    def __init__(self, kernels: Kernels, gate_up: Product, down: nn.Module, is_gelu: bool) -> None:
        super().__init__()
        self.gate_up = gate_up
        self.down = down
        self._size = gate_up.out_features // 2
        self._is_gelu = is_gelu
        self._gate = kernels.gate

    def forward(self, x: Tensor) -> Tensor:
        both = self.gate_up.forward(x)
        output = both.new_empty(*both.shape[:-1], self._size)
        self._gate(
            both.data_ptr(), output.data_ptr(), output.numel() // self._size, self._size, self._is_gelu
        )
        result: Tensor = self.down.forward(output)
        return result


class HeadNorms(nn.Module):
    """RMSNorms of each head's query and key."""

    def __init__(self, query: FastNorm, key: FastNorm) -> None:
        super().__init__()
        self.query = query
        self.key = key


class FastAttention(nn.Module):
    """Queries, keys and values as one product; turning, cache and attention as one kernel; the output."""

    def __init__(
        self,
        kernels: Kernels,
        attention: KernelAttention,
        products: tuple[Product, Product],
        norms: HeadNorms | None,
    ) -> None:
        """`attention` has been called as it always will be: its scaling, window and sinks hold."""
        super().__init__()
        self.qkv, self.output = products
        self.norms = norms
        self._attention = attention
        self._attend = kernels.attend
        self._tables = attention.tables.address
        self._struct = self._lay_out()
        self._address = ctypes.addressof(self._struct)

    def _lay_out(self) -> LayerStruct:
        struct = LayerStruct.from_buffer_copy(self._attention.struct)
        keys, values = struct.num_kv_heads * struct.key_size, struct.num_kv_heads * struct.value_size
        queries = self.qkv.out_features - keys - values
        struct.num_heads = queries // struct.key_size
        struct.query_token = struct.key_token = struct.value_token = self.qkv.out_features
        struct.query_head = struct.key_head = struct.key_size
        struct.value_head = struct.value_size
        if self.norms:
            struct.norm_eps = self.norms.query.eps
            struct.query_norm = self.norms.query.weight.data_ptr()
            struct.key_norm = self.norms.key.weight.data_ptr()
        itemsize = self._attention.cache.keys.itemsize
        self._key_at, self._value_at = queries * itemsize, (queries + keys) * itemsize
        return struct

    def forward(
        self, hidden_states: Tensor, position_embeddings: tuple[Tensor, Tensor], *_: Any, **__: Any
    ) -> tuple[Tensor, None]:
        cos, sin = position_embeddings
        self._struct.rope_size = cos.shape[-1]
        return self._compute(hidden_states, cos.data_ptr(), sin.data_ptr()), None

    def _compute(self, hidden_states: Tensor, cos: int | None, sin: int | None) -> Tensor:
        product = self.qkv.forward(hidden_states)
        output = product.new_empty(1, product.shape[1], self.output.in_features)
        start = product.data_ptr()
        keys, values = start + self._key_at, start + self._value_at
        if self._attend(self._address, self._tables, start, keys, values, cos, sin, output.data_ptr()):
            raise MemoryError("scores")
        result: Tensor = self.output.forward(output)
        return result


class FastUnturned(FastAttention):
    """The same without turning by position (SmolLM3 has such layers)."""

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return self._compute(hidden_states, None, None), None
