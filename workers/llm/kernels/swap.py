"""Puts packed products and our own modules in the places of a model's, by what these do.

A module is taken for what it seems to be by its parts and their shapes, never by its model's name; another
stands in for it only after both gave the same for what the model really called it with. All else stays.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from transformers.activations import ACT2FN

from workers.llm.kernels.attention import KernelAttention
from workers.llm.kernels.fast import FastAttention, FastGated, FastLayer, FastNorm, FastUnturned, HeadNorms
from workers.llm.kernels.library import Kernels
from workers.llm.kernels.packing import Family, Packer, Sibling, find_families, is_linear, pack
from workers.llm.kernels.products import KernelProduct, Product
from workers.llm.kernels.trial import Call, is_alike, record
from workers.llm.steps.batch import Batch
from workers.llm.steps.runner import Runner

SILU = (nn.SiLU, type(ACT2FN["silu"]))
GELU_TANH = tuple(type(ACT2FN[name]) for name in ("gelu_pytorch_tanh", "gelu_new"))


Calls = dict[nn.Module, Call]


def optimise(model: nn.Module, runner: Runner, kernels: Kernels, batch: Batch) -> None:
    """Leaves a model that computes the same, sooner; `batch` is the step to try it with."""
    packer = Packer(kernels)
    _pack(model, runner, packer, batch)
    runner.attach_adapters(packer)
    calls = record(runner, batch, list(model.modules()))
    gone: set[nn.Module] = set()
    for parent, name, module in list(_children(model)):
        if parent in gone:
            gone.add(module)
        elif (fast := _fast(module, calls, kernels)) is not None:
            setattr(parent, name, fast)
            gone.add(module)


def _pack(model: nn.Module, runner: Runner, packer: Packer, batch: Batch) -> None:
    parents = {child: parent for parent, _, child in _children(model) if is_linear(child)}
    calls = record(runner, batch, list(parents))
    inputs = {layer: call.arguments[0] for layer, call in calls.items() if call.arguments}
    pack(model, find_families(parents, inputs), packer)


def _children(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Parents before their children: who is swapped whole is never looked into."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            yield parent, name, child


def _fast(module: nn.Module | None, calls: Calls, kernels: Kernels) -> nn.Module | None:
    if module is None or module not in calls:
        return None
    candidates = [
        *_norms(module, kernels),
        *_gated(module, kernels),
        *_attentions(module, calls, kernels),
        *_layers(module, calls, kernels),
    ]
    tries = _tries(module, calls[module]) if candidates else []
    return next((fast for fast in candidates if _stands_in(fast, tries)), None)


def _tries(module: nn.Module, call: Call) -> list[tuple[Call, object]]:
    """What the module was called with and what it gives; to a norm also what has no mean of 0."""
    calls = [call]
    if len(call.arguments) == 1 and not call.named:
        (x,) = call.arguments
        calls.append(Call((x + x.std(),), {}))
    return [(each, each.of(module)) for each in calls]


def _stands_in(fast: nn.Module, tries: list[tuple[Call, object]]) -> bool:
    for call, expected in tries:
        try:
            found = call.of(fast)
        except (TypeError, ValueError, RuntimeError):
            return False
        if not _is_same(found, expected):
            return False
    return True


def _is_same(found: object, expected: object) -> bool:
    """A tensor, or a tuple that begins with one."""
    if isinstance(found, tuple) and isinstance(expected, tuple):
        return len(found) == len(expected) and _is_same(found[0], expected[0])
    return isinstance(found, Tensor) and isinstance(expected, Tensor) and is_alike(found, expected)


def _layers(module: nn.Module, calls: Calls, kernels: Kernels) -> Iterator[FastLayer]:
    children = [child for child in module.children() if not isinstance(child, nn.Dropout)]
    if len(children) != 4 or not any(hasattr(child, "paged_attention") for child in children):
        return
    parts = [_fast(child, calls, kernels) for child in children]
    attentions = [part for part in parts if isinstance(part, FastAttention)]
    gated = [part for part in parts if isinstance(part, FastGated)]
    norms = [part for part in parts if isinstance(part, FastNorm)]
    if (len(attentions), len(gated), len(norms)) == (1, 1, 2):
        used = (attentions[0].qkv, attentions[0].output, gated[0].gate_up, gated[0].down)
        products = [product for product in used if isinstance(product, KernelProduct)]
        for pair in ((norms[0], norms[1]), (norms[1], norms[0])) if len(products) == len(used) else ():
            yield FastLayer(attentions[0], gated[0], pair, products)


def _norms(module: nn.Module, kernels: Kernels) -> Iterator[FastNorm]:
    weights = list(module.parameters())
    eps: Any = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None)
    is_norm = len(weights) == 1 and weights[0].ndim == 1 and isinstance(eps, float)
    if is_norm and weights[0].dtype == kernels.dtype:
        yield FastNorm(kernels, weights[0], eps)
        yield FastNorm(kernels, weights[0] + 1, eps)


def _gated(module: nn.Module, kernels: Kernels) -> Iterator[FastGated]:
    parts = _linear_parts(module)
    activations = [child for child in module.children() if isinstance(child, SILU + GELU_TANH)]
    if len(parts) != 2 or len(activations) != 1:
        return
    for gate_up, down in (parts, parts[::-1]):
        is_pair = not isinstance(gate_up, Family) or gate_up.sizes[0] * 2 == sum(gate_up.sizes)
        product = gate_up.product if isinstance(gate_up, Family) else gate_up
        if is_pair and isinstance(down, Product) and product.out_features == 2 * down.in_features:
            yield FastGated(kernels, product, down, isinstance(activations[0], GELU_TANH))


def _attentions(module: nn.Module, calls: Calls, kernels: Kernels) -> Iterator[FastAttention]:
    attention = getattr(module, "paged_attention", None)
    parts = _linear_parts(module)
    if not isinstance(attention, KernelAttention) or len(parts) != 2:
        return
    norms = _head_norms(module, calls, kernels)
    for qkv, output in (parts, parts[::-1]):
        product = qkv.product if isinstance(qkv, Family) else qkv
        if isinstance(output, Product) and _can_be_qkv(attention, product, output):
            if _can_turn(calls[module], attention, kernels):
                yield FastAttention(kernels, attention, (product, output), norms)
            yield FastUnturned(kernels, attention, (product, output), norms)


def _head_norms(module: nn.Module, calls: Calls, kernels: Kernels) -> HeadNorms | None:
    norms = [_fast(getattr(module, name, None), calls, kernels) for name in ("q_norm", "k_norm")]
    query, key = norms
    is_pair = isinstance(query, FastNorm) and isinstance(key, FastNorm)
    return HeadNorms(query, key) if is_pair and query.eps == key.eps else None  # type: ignore[arg-type,union-attr]


def _can_turn(call: Call, attention: KernelAttention, kernels: Kernels) -> bool:
    """Whether the kernel can read the angles: `[1, T, R]` cosines and sines, R even and within a head."""
    angles = call.named.get("position_embeddings", call.arguments[1] if len(call.arguments) > 1 else None)
    if not isinstance(angles, tuple) or len(angles) != 2:
        return False
    return all(
        isinstance(part, Tensor)
        and part.ndim == 3
        and len(part) == 1
        and part.shape[-1] % 2 == 0
        and part.shape[-1] <= attention.struct.key_size
        and part.dtype == kernels.dtype
        and part.is_contiguous()
        for part in angles
    )


def _can_be_qkv(attention: KernelAttention, product: Product, output: Product) -> bool:
    struct = attention.struct
    keys_and_values = struct.num_kv_heads * (struct.key_size + struct.value_size)
    num_heads, rest = divmod(product.out_features - keys_and_values, struct.key_size)
    return not rest and num_heads > 0 and num_heads * struct.value_size == output.in_features


def _linear_parts(module: nn.Module) -> list[Family | Product]:
    found: dict[Family | Product, None] = {}
    for child in module.children():
        if isinstance(child, Sibling):
            found[child.family] = None
        elif isinstance(child, Product):
            found[child] = None
    return list(found)
