"""Modules of our own that stand in for a model's: the same results from packed products and kernels."""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from workers.llm.kernels.attention import KernelAttention
from workers.llm.kernels.library import Kernels, LayerStruct
from workers.llm.kernels.products import KernelProduct, Product


class FastNorm(nn.Module):
    """RMSNorm over the last dimension."""

    def __init__(self, kernels: Kernels, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight = weight.detach().contiguous()
        self.eps = eps
        self._size = len(weight)
        self._address = self.weight.data_ptr()
        self._rms_norm = kernels.rms_norm

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.is_contiguous() else x.contiguous()
        output = torch.empty_like(x)
        self.call(x.data_ptr(), output.data_ptr(), x.numel() // self._size)
        return output

    def call(self, x: int, output: int, num_rows: int) -> None:
        """The same by addresses."""
        self._rms_norm(x, self._address, output, num_rows, self._size, self.eps)


class FastGated(nn.Module):
    """`down(activation(gate(x)) * up(x))`, gate and up as one product."""

    def __init__(self, kernels: Kernels, gate_up: Product, down: Product, is_gelu: bool) -> None:
        super().__init__()
        self.gate_up = gate_up
        self.down = down
        self._size = gate_up.out_features // 2
        self._is_gelu = is_gelu
        self._gate = kernels.gate

    def forward(self, x: Tensor) -> Tensor:
        both = self.gate_up.forward(x)
        output = both.new_empty(*both.shape[:-1], self._size)
        self.call(both.data_ptr(), output.data_ptr(), output.numel() // self._size)
        result: Tensor = self.down.forward(output)
        return result

    def call(self, both: int, output: int, num_rows: int) -> None:
        """What is between the products, by addresses."""
        self._gate(both, output, num_rows, self._size, self._is_gelu)


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
        return self._compute(hidden_states, self.angles(position_embeddings)), None

    def angles(self, position_embeddings: tuple[Tensor, Tensor] | None) -> tuple[int | None, int | None]:
        """The addresses of cosines and sines."""
        if position_embeddings is None:
            raise TypeError("attention by position needs its angles")
        cos, sin = position_embeddings
        self._struct.rope_size = cos.shape[-1]
        return cos.data_ptr(), sin.data_ptr()

    def call(self, qkv: int, angles: tuple[int | None, int | None], output: int) -> None:
        """The attention between the products, by addresses."""
        keys, values = qkv + self._key_at, qkv + self._value_at
        if self._attend(self._address, self._tables, qkv, keys, values, *angles, output):
            raise MemoryError("scores")

    def _compute(self, hidden_states: Tensor, angles: tuple[int | None, int | None]) -> Tensor:
        product = self.qkv.forward(hidden_states)
        output = product.new_empty(1, product.shape[1], self.output.in_features)
        self.call(product.data_ptr(), angles, output.data_ptr())
        result: Tensor = self.output.forward(output)
        return result


class FastUnturned(FastAttention):
    """The same without turning by position (SmolLM3 has such layers)."""

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return self._compute(hidden_states, (None, None)), None

    def angles(self, _: tuple[Tensor, Tensor] | None) -> tuple[int | None, int | None]:
        return None, None


class FastLayer(nn.Module):
    """A whole layer: `h = x + attention(norm(x))`, then `h + gated(norm(h))`, by eight kernels in a row."""

    def __init__(
        self,
        attention: FastAttention,
        gated: FastGated,
        norms: tuple[FastNorm, FastNorm],
        products: list[KernelProduct],
    ) -> None:
        """`products` are those of the parts, in the order of their use."""
        super().__init__()
        self.attention, self.gated = attention, gated
        self._calls = [product.call for product in products]
        self.first, self.second = norms
        self._size = attention.qkv.in_features
        self._wide = max(attention.qkv.out_features, gated.gate_up.out_features)
        self._width = self._size + self._wide + max(attention.output.in_features, gated.down.in_features)

    def forward(self, hidden_states: Tensor, *_: Any, position_embeddings: Any = None, **__: Any) -> Tensor:
        attention, gated = self.attention, self.gated
        to_heads, from_heads, to_gate, from_gate = self._calls
        x = hidden_states if hidden_states.is_contiguous() else hidden_states.contiguous()
        output = torch.empty_like(x)
        num_rows = x.numel() // self._size
        space = x.new_empty(num_rows * self._width)
        source, target, normed = x.data_ptr(), output.data_ptr(), space.data_ptr()
        wide = normed + num_rows * self._size * x.itemsize
        narrow = wide + num_rows * self._wide * x.itemsize
        self.first.call(source, normed, num_rows)
        to_heads(normed, None, wide, num_rows)
        attention.call(wide, attention.angles(position_embeddings), narrow)
        from_heads(narrow, source, target, num_rows)
        self.second.call(target, normed, num_rows)
        to_gate(normed, None, wide, num_rows)
        gated.call(wide, narrow, num_rows)
        from_gate(narrow, target, target, num_rows)
        return output
