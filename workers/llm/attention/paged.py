"""Attention over the paged cache, in the place of the model's own."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softmax

from workers.llm.attention.cache import LayerCache
from workers.llm.attention.layout import Group, Layout
from workers.llm.attention.scores import Scores
from workers.llm.kernels.attention import KernelAttention


class PagedAttention:
    """One layer's attention: writes the step's keys and values, reads back all that each query sees.

    Made of torch's own operators, on any device; `KernelAttention` is the same by one kernel.
    """

    def __init__(self, cache: LayerCache) -> None:
        self.cache = cache
        self.layout: Layout | None = None

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scores: Scores, window: int | None) -> Tensor:
        """Query `[1, H, T, D]`, key and value `[1, Hkv, T, D]` of the packed step → `[1, T, H, D]`."""
        layout = self.layout
        assert layout is not None
        self.cache.write(layout.slots, key[0].transpose(0, 1), value[0].transpose(0, 1))
        queries = query[0].transpose(0, 1)
        outputs = [self._attend(queries, group, scores) for group in layout.groups(window)]
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).unsqueeze(0)

    def _attend(self, queries: Tensor, group: Group, scores: Scores) -> Tensor:
        packed = queries[group.start : group.stop]
        rows = packed if group.pad is None else queries.index_select(0, group.pad)
        rows = rows.view(group.num_rows, -1, *rows.shape[1:]).transpose(1, 2)
        keys, values = self.cache.read(group.blocks, group.num_keys)
        output = _weigh(rows, keys, values, group, scores).transpose(1, 2).flatten(0, 1)
        return output if group.unpad is None else output.index_select(0, group.unpad)


def _weigh(query: Tensor, key: Tensor, value: Tensor, group: Group, scores: Scores) -> Tensor:
    """Query `[R, H, N, D]`, key and value `[R, Hkv, L, D]` → `[R, H, N, D]`."""
    if scores.softcap is not None or scores.sinks is not None:
        return _weigh_plainly(query, key, value, group, scores)
    num_rows, num_heads, num_queries, _ = query.shape
    is_packed = num_queries == 1 and num_heads != key.shape[1]
    if is_packed:
        # The heads that share keys become queries: the keys need not be repeated for them.
        query = query.reshape(num_rows, key.shape[1], -1, query.shape[-1])
    output = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=group.mask,
        is_causal=group.is_causal and num_queries > 1,
        scale=scores.scaling,
        enable_gqa=not is_packed and num_heads != key.shape[1],
    )
    return output.reshape(num_rows, num_heads, num_queries, -1)


def _weigh_plainly(query: Tensor, key: Tensor, value: Tensor, group: Group, scores: Scores) -> Tensor:
    """As the models' own eager attention: for what the fused one cannot do."""
    num_shared = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(num_shared, 1), value.repeat_interleave(num_shared, 1)
    scaling = query.shape[-1] ** -0.5 if scores.scaling is None else scores.scaling
    weights = query @ key.transpose(2, 3) * scaling
    if scores.softcap is not None:
        weights = torch.tanh(weights / scores.softcap) * scores.softcap
    if group.mask is not None:
        weights = weights + group.mask
    elif group.is_causal:
        weights = weights.masked_fill(torch.ones_like(weights[0, 0], dtype=torch.bool).triu(1), float("-inf"))
    if scores.sinks is not None:
        sinks = scores.sinks.to(weights.dtype).view(1, -1, 1, 1).expand(*weights.shape[:3], 1)
        weights = torch.cat([weights, sinks], -1)
    weights = softmax(weights, -1, dtype=torch.float32).to(query.dtype)
    return weights[..., : key.shape[2]] @ value


def paged_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    **kwargs: object,
) -> tuple[Tensor, None]:
    """What transformers calls in each attention layer (its `AttentionInterface`)."""
    attention: PagedAttention | KernelAttention = module.paged_attention  # type: ignore[assignment]
    scores = Scores(kwargs.get("scaling"), kwargs.get("softcap"), kwargs.get("s_aux"))  # type: ignore[arg-type]
    return attention.attend(query, key, value, scores, kwargs.get("sliding_window")), None  # type: ignore[arg-type]
