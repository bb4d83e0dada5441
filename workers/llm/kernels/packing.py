"""Linear layers on a CPU: weights packed once, one product for layers that share an input."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from workers.llm.kernels.library import Kernels
from workers.llm.kernels.pages import Pages
from workers.llm.kernels.products import DnnProduct, KernelProduct, Product, has_dnn

DTYPES = (torch.float32, torch.bfloat16)


class Packer:
    """Makes products in the quickest way that there is here."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._has_dnn = has_dnn(kernels.dtype)
        self._pages = Pages()

    def can(self, layer: nn.Module) -> bool:
        if not is_linear(layer) or layer.weight.dtype != self._kernels.dtype:
            return False
        return self._has_dnn or self._is_for_kernel(_weight_and_bias(layer)[0].shape[1])

    def make(self, weight: Tensor, bias: Tensor | None) -> Product:
        if self._is_for_kernel(weight.shape[1]):
            return KernelProduct(self._kernels, weight, bias, self._pages)
        return DnnProduct(weight, bias)

    def _is_for_kernel(self, num_inputs: int) -> bool:
        return self._kernels.has_products and num_inputs % (4 // self._kernels.dtype.itemsize) == 0


class Family:
    """Layers that are called one after another with the same tensor, computed by the first of them."""

    def __init__(self, product: Product, sizes: list[int]) -> None:
        self.product = product
        self.sizes = sizes
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()

    def output(self, place: int, x: Tensor) -> Tensor:
        if not place or x is not self._input:
            self._outputs, self._input = self.product(x).split(self.sizes, -1), x
        output = self._outputs[place]
        if place == len(self.sizes) - 1:
            self._outputs, self._input = (), None
        return output


class Sibling(nn.Module):
    """One of a family, in the place of its linear layer; its output is a slice of the family's."""

    def __init__(self, family: Family, place: int) -> None:
        super().__init__()
        self.family = family
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        return self.family.output(self.place, x)


def pack(model: nn.Module, shared: list[list[nn.Module]], packer: Packer) -> None:
    """Put a product in the place of each linear layer that can be packed, one for a family in `shared`.

    What was there is freed, but for a weight that another module uses too (tied embeddings).
    """
    places = {child: (parent, name) for parent, name, child in _linears(model) if packer.can(child)}
    for layers in shared:
        if all(layer in places for layer in layers):
            _put_family(layers, [places.pop(layer) for layer in layers], packer)
    while places:
        layer, (parent, name) = places.popitem()
        setattr(parent, name, packer.make(*_weight_and_bias(layer)))


def _put_family(layers: list[nn.Module], places: list[tuple[nn.Module, str]], packer: Packer) -> None:
    parts = [_weight_and_bias(layer) for layer in layers]
    sizes = [len(weight) for weight, _ in parts]
    bias = None
    if any(part is not None for _, part in parts):
        bias = torch.cat([w.new_zeros(len(w)) if b is None else b for w, b in parts])
    family = Family(packer.make(torch.cat([weight for weight, _ in parts]), bias), sizes)
    for place, (parent, name) in enumerate(places):
        setattr(parent, name, Sibling(family, place))


def is_linear(module: nn.Module) -> bool:
    return type(module) in (nn.Linear, Conv1D) and module.weight.dtype in DTYPES


def _linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if is_linear(child):
                yield parent, name, child


def _weight_and_bias(layer: Any) -> tuple[Tensor, Tensor | None]:
    return (layer.weight.t() if isinstance(layer, Conv1D) else layer.weight), layer.bias


def find_families(
    parents: dict[nn.Module, nn.Module], inputs: dict[nn.Module, Tensor]
) -> list[list[nn.Module]]:
    """Linear layers of one parent that were given the very same tensor, in the order of their calls."""
    found: dict[tuple[int, int], list[nn.Module]] = defaultdict(list)
    for layer, x in inputs.items():
        found[id(parents[layer]), id(x)].append(layer)
    return [layers for layers in found.values() if len(layers) > 1]


def products(model: nn.Module) -> list[nn.Module]:
    """Every product of a step, those of a family once."""
    found: dict[nn.Module, None] = {}
    for module in model.modules():
        if isinstance(module, Sibling):
            found[module.family.product] = None
        elif isinstance(module, Product) or is_linear(module):
            found[module] = None
    return list(found)


def packed_sizes(model: nn.Module) -> dict[str, int]:
    """How many products are our kernels', how many of these have weights of 16 bits, and the bytes of all."""
    weights = [product.weight for product in products(model) if isinstance(product, KernelProduct)]
    num_half = sum(weight.itemsize == 2 for weight in weights)
    return {"products": len(weights), "in_16_bits": num_half, "bytes": sum(w.nbytes for w in weights)}
