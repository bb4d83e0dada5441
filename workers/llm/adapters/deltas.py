"""What adapters add to the products of a step: to the rows of those who asked for them, and to no others."""

from collections import defaultdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from workers.errors import LoadError
from workers.llm.adapters.adapter import Adapter, LowRank
from workers.llm.kernels.packing import Packer, Sibling
from workers.llm.kernels.products import DnnProduct, KernelProduct, Product
from workers.llm.steps.batch import AdaptedRows, Batch


class Part(NamedTuple):
    """What an adapter adds to one layer, whose own outputs begin at `offset` of its product's."""

    offset: int
    pair: LowRank


class StepAdapters:
    """The step under way: whose rows are adapted. Without any the model computes as if there were none."""

    def __init__(self) -> None:
        self.rows: list[AdaptedRows] = []
        self._num_tokens = 0

    def lay_out(self, batch: Batch) -> None:
        self.rows, self._num_tokens = batch.adapted, len(batch.input_ids)

    def clear(self) -> None:
        self.rows = []

    def check(self, num_rows: int) -> None:
        """Raises LoadError where a layer is not called with the step's tokens: nobody knows whose is what."""
        if num_rows != self._num_tokens:
            raise LoadError(f"adapters of a layer that takes {num_rows} of {self._num_tokens} tokens")


class Delta:
    """What each adapter adds to the output of one layer or product, by the adapter's number."""

    def __init__(self, step: StepAdapters, pairs: "dict[int, Pair]") -> None:
        self._step = step
        self._pairs = pairs

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        """Onto `output [1, T, out]`, which is returned, for `x [1, T, in]`."""
        if not self._step.rows:
            return output
        x, rows = x.reshape(-1, x.shape[-1]), output.view(-1, output.shape[-1])
        self._step.check(len(x))
        for number, start, stop in self._step.rows:
            if pair := self._pairs.get(number):
                pair.add(x[start:stop], rows[start:stop])
        return output


class TorchPair:
    """One adapter's two factors for one layer, by torch's operators."""

    def __init__(self, pair: LowRank) -> None:
        self._down, self._up = pair.down, pair.up.t()

    def add(self, x: Tensor, output: Tensor) -> None:
        """Onto `output [N, out]`, for `x [N, in]`."""
        output.addmm_(linear(x, self._down), self._up)


class PackedPair:
    """The same as packed products: a row's bits do not depend on how many rows there are."""

    def __init__(self, down: Product, up: Product) -> None:
        self._down, self._up = down, up

    def add(self, x: Tensor, output: Tensor) -> None:
        """Onto `output [N, out]`, for `x [N, in]`."""
        output += self._up.forward(self._down.forward(x))


Pair = TorchPair | PackedPair


class KernelDelta:
    """As `Delta`, between kernels."""

    def __init__(self, step: StepAdapters, pairs: "dict[int, KernelPair]") -> None:
        self._step = step
        self._pairs = pairs

    def call(self, x: int, output: int, num_rows: int) -> None:
        """By addresses."""
        if not self._step.rows:
            return
        self._step.check(num_rows)
        for rows in self._step.rows:
            if pair := self._pairs.get(rows.number):
                pair.call(x, output, rows)


class KernelPair:
    """As `PackedPair`, of products by kernels."""

    def __init__(self, down: KernelProduct, up: KernelProduct) -> None:
        self._down, self._up = down, up
        self._in_bytes = down.in_features * down.dtype.itemsize
        self._out_bytes = up.out_features * up.dtype.itemsize

    def call(self, x: int, output: int, rows: AdaptedRows) -> None:
        """Onto these rows of the output, by addresses."""
        _, start, stop = rows
        narrow = torch.empty((stop - start) * self._down.out_features, dtype=self._down.dtype)
        middle, target = narrow.data_ptr(), output + start * self._out_bytes
        self._down.call(x + start * self._in_bytes, None, middle, stop - start)
        self._up.call(middle, target, target, stop - start)


def attach(
    model: nn.Module, adapters: tuple[Adapter, ...], step: StepAdapters, packer: Packer | None
) -> None:
    """Have the products and linear layers of the model add what adapters of it add.

    After they were packed by `packer`, and before whole modules are swapped.
    """
    found: dict[nn.Module, dict[int, list[Part]]] = defaultdict(lambda: defaultdict(list))
    for number, adapter in enumerate(adapters, 1):
        for place, pair in adapter.layers.items():
            target, offset = _target(model.get_submodule(place))
            found[target][number].append(Part(offset, pair))
    for target, parts in found.items():
        if isinstance(target, KernelProduct | DnnProduct):
            assert packer is not None
            _put(target, {number: _pack(part, target, packer) for number, part in parts.items()}, step)
        else:
            _hook(target, Delta(step, {number: TorchPair(part.pair) for number, [part] in parts.items()}))


def _put(
    target: KernelProduct | DnnProduct, packed: dict[int, tuple[Product, Product]], step: StepAdapters
) -> None:
    if isinstance(target, DnnProduct):
        target.delta = Delta(step, {number: PackedPair(*pair) for number, pair in packed.items()})
        return
    pairs = {}
    for number, (down, up) in packed.items():
        assert isinstance(down, KernelProduct) and isinstance(up, KernelProduct)
        pairs[number] = KernelPair(down, up)
    target.delta = KernelDelta(step, pairs)


def _pack(parts: list[Part], target: Product, packer: Packer) -> tuple[Product, Product]:
    down, up = _join(parts, target.out_features)
    # Kernels for half precision read two inputs at a time.
    odd = len(down) % 2
    return packer.make(pad(down, (0, 0, 0, odd)), None), packer.make(pad(up, (0, odd)), None)


def _target(module: nn.Module) -> tuple[nn.Module, int]:
    """What computes the layer, and where in the output of that its own begins."""
    if isinstance(module, Sibling):
        return module.family.product, sum(module.family.sizes[: module.place])
    return module, 0


def _join(parts: list[Part], num_outputs: int) -> LowRank:
    """One pair for layers that are computed as one: each's outputs in their places, zeros elsewhere."""
    down = torch.cat([pair.down for _, pair in parts])
    up = down.new_zeros(num_outputs, len(down))
    column = 0
    for offset, pair in parts:
        num_rows, rank = pair.up.shape
        up[offset : offset + num_rows, column : column + rank] = pair.up
        column += rank
    return LowRank(down, up)


def _hook(layer: nn.Module, delta: Delta) -> None:
    def add(_: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        return delta.add(arguments[0], output)

    layer.register_forward_hook(add)
