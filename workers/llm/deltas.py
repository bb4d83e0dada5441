"""What adapters add to the products of a step: to the rows of those who asked for them, and to no others."""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from workers.errors import LoadError
from workers.llm.adapters import Adapter, LowRank
from workers.llm.batch import AdaptedRows, Batch
from workers.llm.packing import Packer, Sibling
from workers.llm.products import KernelProduct, Product


class StepAdapters:
    """The step under way: whose rows are adapted. Without any the model computes as if there were none."""

    def __init__(self) -> None:
        self.rows: list[AdaptedRows] = []
        self.num_tokens = 0

    def lay_out(self, batch: Batch) -> None:
        self.rows, self.num_tokens = batch.adapted, len(batch.input_ids)

    def clear(self) -> None:
        self.rows = []


class TorchPair:
    """One adapter's two factors for one product, by torch's operators."""

    def __init__(self, pair: LowRank) -> None:
        self._down, self._up = pair.down, pair.up.t()

    def add(self, x: Tensor, output: Tensor) -> None:
        """Onto `output [N, out]`, for `x [N, in]`."""
        output.addmm_(linear(x, self._down), self._up)


class PackedPair:
    """The same by packed products: a row's bits do not depend on how many rows there are."""

    def __init__(self, pair: LowRank, packer: Packer) -> None:
        # Kernels for half precision read two inputs at a time.
        odd = len(pair.down) % 2
        down, up = (nn.functional.pad(pair.down, (0, 0, 0, odd)), nn.functional.pad(pair.up, (0, odd)))
        self._down, self._up = packer.make(down, None), packer.make(up, None)

    def add(self, x: Tensor, output: Tensor) -> None:
        """Onto `output [N, out]`, its rows side by side, for `x [N, in]`."""
        narrow = self._down.forward(x)
        if isinstance(self._up, KernelProduct):
            address = output.data_ptr()
            self._up.call(narrow.data_ptr(), address, address, len(output))
        else:
            output += self._up.forward(narrow)


Pair = TorchPair | PackedPair


class Delta:
    """What each adapter adds to one product's output, by the adapter's number, counted from 1."""

    def __init__(self, step: StepAdapters, pairs: dict[int, Pair]) -> None:
        self.step = step
        self._pairs = pairs

    @property
    def is_due(self) -> bool:
        """Whether any row of the step is adapted, here or in another layer."""
        return bool(self.step.rows)

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        """Onto `output [1, T, out]`, which is returned, for `x [1, T, in]`.

        Raises LoadError where a layer is not called with the step's tokens: then nobody knows whose is what.
        """
        step = self.step
        if not step.rows:
            return output
        x, rows = x.reshape(-1, x.shape[-1]), output.view(-1, output.shape[-1])
        if len(x) != step.num_tokens:
            raise LoadError(f"adapters of a layer that takes {len(x)} of {step.num_tokens} tokens")
        for number, start, stop in step.rows:
            if pair := self._pairs.get(number):
                pair.add(x[start:stop], rows[start:stop])
        return output


def attach(
    model: nn.Module, adapters: tuple[Adapter, ...], step: StepAdapters, packer: Packer | None
) -> None:
    """Have the products and linear layers of the model add what adapters of it add.

    After they were packed by `packer`, and before whole modules are swapped.
    """
    found: dict[nn.Module, dict[int, list[tuple[int, LowRank]]]] = defaultdict(lambda: defaultdict(list))
    for number, adapter in enumerate(adapters, 1):
        for place, pair in adapter.layers.items():
            target, offset = _target(model.get_submodule(place))
            found[target][number].append((offset, pair))
    for target, parts in found.items():
        if isinstance(target, Product) and packer is not None:
            pairs: dict[int, Pair] = {
                number: PackedPair(_join(part, target.out_features), packer) for number, part in parts.items()
            }
            target.delta = Delta(step, pairs)
        else:
            torch_pairs: dict[int, Pair] = {number: TorchPair(pair) for number, [(_, pair)] in parts.items()}
            _hook(target, Delta(step, torch_pairs))


def _target(module: nn.Module) -> tuple[nn.Module, int]:
    """What computes the layer, and where in the output of that its own begins."""
    if isinstance(module, Sibling):
        return module.family.product, sum(module.family.sizes[: module.place])
    return module, 0


def _join(parts: list[tuple[int, LowRank]], num_outputs: int) -> LowRank:
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
