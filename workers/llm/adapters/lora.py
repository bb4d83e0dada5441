"""Reads adapters by peft, from folders as it saves them.

peft puts an adapter into the model as it would to run it; what its layers then hold is taken from them, and
the model is as it was again. To import peft takes seconds: only who has adapters imports this.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PeftType
from peft.tuners.lora import Linear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from config.settings import ModelSettings
from workers.errors import LoadError
from workers.hub import one_line
from workers.llm.adapters.adapter import Adapter, LowRank
from workers.llm.loading.expected import expected_logits

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# What changes more than an adapter's rows can be given by themselves: weights, tokens, other arithmetic.
REFUSED = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "lora_bias",
    "use_qalora",
)
# Other ways to begin the training with take something off the base's own weights.
INITIAL_WEIGHTS = (True, False, "gaussian", "orthogonal", "eva")


@torch.inference_mode()
def read_adapters(model: PreTrainedModel, settings: ModelSettings) -> tuple[Adapter, ...]:
    """Those of the settings, in order, in the model's dtype and on its device. Raises LoadError.

    Before anything in the model is put in another's place.
    """
    return tuple(
        _read(name, path, model, settings.max_adapter_rank) for name, path in settings.adapters.items()
    )


def _read(name: str, path: str, model: PreTrainedModel, max_rank: int) -> Adapter:
    try:
        peft_model = _inject(name, _source(path), model)
        try:
            layers = _layers(name, peft_model, max_rank)
            expected = expected_logits(model)
        finally:
            peft_model.unload()
    except Exception as error:
        raise LoadError(f'adapter "{name}" ({path}) cannot be used: {_why(error)}') from error
    return Adapter(name, layers, expected)


def _why(error: Exception) -> str:
    """What a library says, in one line: torch's first is only a heading."""
    heading, *lines = str(error).splitlines() or [""]
    return f"{heading} {lines[0].strip()}" if heading.endswith(":") and lines else one_line(error)


def _source(path: str) -> str:
    """A folder with an adapter's files, or the hub id that `path` is. Raises LoadError."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        if path.count("/") != 1 or path[0] in "./~":
            raise LoadError("the folder does not exist")
        return path
    if not (folder / CONFIG).is_file():
        raise LoadError(f"the folder has no {CONFIG}")
    if not any((folder / weights).is_file() for weights in WEIGHTS):
        raise LoadError(f"the folder has no {' and no '.join(WEIGHTS)}")
    return str(folder)


def _inject(name: str, source: str, model: PreTrainedModel) -> PeftModel:
    """The model with peft's layers in it. Raises LoadError, and what peft raises: then without them."""
    config = PeftConfig.from_pretrained(source)
    _check(config)
    # They are read in a moment.
    config.init_lora_weights = False
    options: dict[str, Any] = {"low_cpu_mem_usage": True, "autocast_adapter_dtype": False}
    with warnings.catch_warnings():
        # Such as that GPT-2's layers are stored the other way around, which it then heeds.
        warnings.simplefilter("ignore")
        peft_model = PeftModel(model, config, name, **options)
        try:
            found = peft_model.load_adapter(source, name, torch_device=str(model.device), **options)
            _expect_none("misses weights", found.missing_keys)
            _expect_none("has weights for what the model has not", found.unexpected_keys)
        except Exception:
            peft_model.unload()
            raise
    return peft_model


def _expect_none(what: str, keys: list[str]) -> None:
    if keys:
        raise LoadError(f"it {what}: {len(keys)}, the first is {min(keys)}")


def _check(config: Any) -> None:
    """Raises LoadError for what is no LoRA, or more than that."""
    if not isinstance(config, LoraConfig):
        raise LoadError(f"it is of type {PeftType(config.peft_type).value}, not LORA")
    for field in (*REFUSED, *_variants(config)):
        if getattr(config, field, None):
            raise LoadError(f"{field} is not supported")
    if config.bias != "none":
        raise LoadError(f'bias = "{config.bias}" is not supported, only "none"')
    if config.init_lora_weights not in INITIAL_WEIGHTS:
        what = f'init_lora_weights = "{config.init_lora_weights}" changes the base'
        raise LoadError(f"{what}: convert it to a plain LoRA, as peft's documentation says")


def _variants(config: LoraConfig) -> list[str]:
    """The settings by which peft's layers compute something else, such as `use_dora`."""
    fields = type(config).__dataclass_fields__
    return [name for name, field in fields.items() if field.metadata.get("is_lora_variant")]


def _layers(name: str, peft_model: PeftModel, max_rank: int) -> dict[str, LowRank]:
    model = peft_model.get_base_model()
    modules = {p: module for p, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    head: Any = model.get_output_embeddings()  # type: ignore[operator]
    for place, module in modules.items():
        if head in (module, _base(module)):
            raise LoadError(f"{place} is the output layer, which is not supported")
    return {place: _layer(name, place, module, max_rank) for place, module in modules.items()}


def _layer(name: str, place: str, module: Any, max_rank: int) -> LowRank:
    base = _base(module)
    if not isinstance(module, Linear) or not isinstance(base, nn.Linear | Conv1D) or module.lora_variant:
        kind = type(base).__name__
        raise LoadError(f"{place} is a {kind} by {type(module).__name__}, not a linear layer")
    rank = module.r[name]
    if rank > max_rank:
        raise LoadError(f"its rank in {place} is {rank} > {max_rank} (max_adapter_rank)")
    return _low_rank(name, place, module, base.weight.dtype)


def _low_rank(name: str, place: str, layer: Any, dtype: torch.dtype) -> LowRank:
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    scaled = up.float() * layer.scaling[name]
    if not (torch.isfinite(down).all() and torch.isfinite(scaled).all()):
        raise LoadError(f"its weights of {place} are no numbers")
    return LowRank(down.detach().to(dtype).contiguous(), scaled.to(dtype).contiguous())


def _base(module: Any) -> nn.Module:
    base: nn.Module = module.get_base_layer()
    return base
