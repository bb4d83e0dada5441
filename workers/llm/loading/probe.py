"""Finds a model's attention layers and what each keeps per token, by running one token through it."""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from workers.errors import LoadError
from workers.llm.attention.cache import LayerShape
from workers.llm.attention.paged import paged_attention

PAGED = "sluice_paged"
PROBE = "sluice_probe"

# What some models pass to attention and the paged one does not know; harmless while it is None.
UNKNOWN_ARGUMENTS = ("position_bias", "indices", "sinks", "block_indices")


def _probe(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001
    **kwargs: object,
) -> tuple[Tensor, None]:
    for name in UNKNOWN_ARGUMENTS:
        if kwargs.get(name) is not None:
            raise LoadError(f"its attention takes {name}")
    if not kwargs.get("is_causal", getattr(module, "is_causal", True)):
        raise LoadError("its attention is not causal")
    if hasattr(module, "layer_shape"):
        raise LoadError("two of its layers are the same")
    module.layer_shape = LayerShape(key.shape[1], key.shape[3], value.shape[3], key.dtype)  # type: ignore[assignment]
    return query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None


# No mask function goes with them: without one transformers makes no mask at all.
AttentionInterface.register(PAGED, paged_attention)
AttentionInterface.register(PROBE, _probe)


def find_layers(model: PreTrainedModel) -> dict[nn.Module, LayerShape]:
    """The attention modules in the order of `modules()`; from now on they call the paged attention.

    Raises LoadError for a model that does not hand all its attention to transformers' interface.
    """
    name = type(model).__name__
    if "chunked_attention" in (getattr(model.config.get_text_config(), "layer_types", None) or []):
        raise LoadError(f"{name} is not supported: its layers use chunked_attention")
    try:
        model.set_attn_implementation(PROBE)
        token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
        model(input_ids=token, position_ids=token, use_cache=False)
        model.set_attn_implementation(PAGED)
    except Exception as error:
        raise LoadError(f"{name} is not supported: {' '.join(str(error).split())}") from error
    layers = {
        m: shape for m in model.modules() if isinstance(shape := getattr(m, "layer_shape", None), LayerShape)
    }
    num_layers = model.config.get_text_config().num_hidden_layers
    if len(layers) != num_layers:
        what = f"{len(layers)} of its {num_layers} layers use transformers' attention interface"
        raise LoadError(f"{name} is not supported: {what}")
    return layers
