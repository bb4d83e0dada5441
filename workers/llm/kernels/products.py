"""`x @ weight.T + bias` on a CPU with a weight that was packed once."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from workers.llm.kernels.library import Kernels
from workers.llm.kernels.pages import Pages

# Outputs that the kernel computes side by side.
PANEL = 64
# Share of the product's size: other arithmetic, not another product.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.03}


class Addend(Protocol):
    """What adapters add to a product."""

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        """Onto `output [..., T, out]`, which is returned, for `x [..., T, in]`."""
        ...


class KernelAddend(Protocol):
    """The same by addresses."""

    def call(self, x: int, output: int, num_rows: int) -> None: ...


class Product(nn.Module):
    """`x @ weight.T + bias` for `x [..., T, in]`; a row's bits do not depend on how many rows there are.

    And on top of it its `delta`, if it has any.
    """

    weight: Tensor  # packed
    bias: Tensor | None

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype  # of inputs and outputs


class KernelProduct(Product):
    """By our own kernel: with few rows in the time that its weights take to be read."""

    delta: KernelAddend | None = None

    def __init__(self, kernels: Kernels, weight: Tensor, bias: Tensor | None, pages: Pages) -> None:
        """Its weight lies in `pages`."""
        super().__init__(weight)
        weight = weight.detach().contiguous()
        num_padded = -(-self.out_features // PANEL) * PANEL
        packing = kernels.packing_for(weight)
        self.weight = pages.take((num_padded, self.in_features), packing.dtype)
        packing.pack(weight.data_ptr(), self.weight.data_ptr(), *weight.shape)
        self.bias = None if bias is None else bias.detach().contiguous()
        self._product = packing.product
        self._pointers = (self.weight.data_ptr(), None if self.bias is None else self.bias.data_ptr())

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.in_features or x.dtype != self.dtype:
            raise ValueError(f"a product of {self.in_features} inputs got {x.dtype} {tuple(x.shape)}")
        x = x if x.is_contiguous() else x.contiguous()
        output = x.new_empty(*x.shape[:-1], self.out_features)
        self.call(x.data_ptr(), None, output.data_ptr(), x.numel() // self.in_features)
        return output

    def call(self, x: int, added: int | None, output: int, num_rows: int) -> None:
        """The same by addresses; `added [num_rows, out]`, which may be the output, comes on top."""
        self._product(x, *self._pointers, added, output, num_rows, self.out_features, self.in_features)
        if self.delta is not None:
            self.delta.call(x, output, num_rows)


class DnnProduct(Product):
    """By oneDNN, the weight in a layout of its own.

    For a single row it has another order of summing where `in` is long: such a product is given the row
    twice.
    """

    delta: Addend | None = None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(weight)
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        self.bias = None if bias is None else bias.detach()
        self._op = torch.ops.mkldnn._linear_pointwise.default
        self._is_single_apart = not self._is_single_alike()

    def forward(self, x: Tensor) -> Tensor:
        output = self._alone(x)
        return output if self.delta is None else self.delta.add(x, output)

    def _alone(self, x: Tensor) -> Tensor:
        if x.shape[-2] < 2 and (self._is_single_apart or not x.shape[-2]):
            return self._few(x)
        output: Tensor = self._op(x, self.weight, self.bias, "none", [], "")
        return output

    def _few(self, x: Tensor) -> Tensor:
        if not x.shape[-2]:
            return x.new_empty(*x.shape[:-1], self.out_features)
        twice = x.expand(*x.shape[:-2], 2, x.shape[-1]).contiguous()
        output: Tensor = self._op(twice, self.weight, self.bias, "none", [], "")
        return output[..., :1, :]

    def _is_single_alike(self) -> bool:
        rows = torch.linspace(-1, 1, 2 * self.in_features).sin().view(2, -1).to(self.weight.dtype)
        both = self._op(rows, self.weight, None, "none", [], "")
        return torch.equal(self._op(rows[:1], self.weight, None, "none", [], ""), both[:1])


def has_dnn(dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies in this dtype here, and as torch does."""
    if not torch._C._has_mkldnn:
        return False
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    weight, x = torch.randn(48, 64).to(dtype), torch.randn(3, 64).to(dtype)
    expected = linear(x, weight)
    error = (DnnProduct(weight, None)(x) - expected).norm() / expected.norm()
    return bool(error < TOLERANCES[dtype])
