"""From a model's settings to a model on its device, or one line that says why not."""

from typing import NamedTuple

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from config.settings import ModelSettings
from workers.embedded import LANGUAGE
from workers.errors import LoadError
from workers.hub import (
    EMBEDDED,
    device_of,
    dtype_of,
    load_tokenizer,
    load_weights,
    one_line,
    options_of,
    settle,
    source_of,
)
from workers.llm.adapters.adapter import Adapter


class LoadedModel(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_model_len: int  # 0: without limit
    eos_ids: frozenset[int]
    adapters: tuple[Adapter, ...] = ()

    @property
    def vocab_size(self) -> int:
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def description(self) -> str:
        """Such as "LlamaForCausalLM, 7.2 M parameters, float32 on cpu, 1024 tokens"."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        length = f", {self.max_model_len} tokens" if self.max_model_len else ""
        size = f"{self.model.num_parameters() / 1e6:,.1f} M parameters"
        num_adapters = len(self.adapters)
        adapters = f", {num_adapters} adapter{'s' if num_adapters > 1 else ''}" if num_adapters else ""
        return f"{type(self.model).__name__}, {size}, {dtype} on {self.model.device}{length}{adapters}"


def load(settings: ModelSettings) -> LoadedModel:
    """Raises LoadError."""
    settle()
    source, device = source_of(settings.path, LANGUAGE), device_of(settings.device)
    config = _config(source, settings)
    tokenizer = load_tokenizer(settings.path, source, options_of(settings))
    options = options_of(settings) | {"config": config, "dtype": _dtype(settings, config, device)}
    model = load_weights(settings.path, AutoModelForCausalLM, source, options, device)
    max_model_len, adapters = _max_model_len(config, settings), _adapters(model, settings)
    return LoadedModel(model, tokenizer, max_model_len, _eos_ids(model, tokenizer), adapters)


def _adapters(model: PreTrainedModel, settings: ModelSettings) -> tuple[Adapter, ...]:
    if not settings.adapters:
        return ()
    # Seconds, for those alone who have adapters.
    from workers.llm.adapters.lora import read_adapters

    return read_adapters(model, settings)


def _config(source: str, settings: ModelSettings) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, **options_of(settings))
    except Exception as error:
        raise LoadError(f'model "{settings.path}" cannot be read: {one_line(error)}') from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not _brings_code(config, settings):
        name = (config.architectures or [config.model_type])[0]
        raise LoadError(f'model "{settings.path}" is a {name}, which is no causal language model')
    return config


def _brings_code(config: PreTrainedConfig, settings: ModelSettings) -> bool:
    return settings.trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})


def _dtype(settings: ModelSettings, config: PreTrainedConfig, device: torch.device) -> torch.dtype:
    """`auto` on a CPU is bfloat16 for a model that was saved so, where the processor multiplies in it.

    Elsewhere it would cost time, and other weights would lose precision. The embedded model says the same on
    every machine.
    """
    is_free = settings.dtype == "auto" and device.type == "cpu" and settings.path != EMBEDDED
    saved = config.get_text_config().dtype or config.dtype
    if is_free and saved == torch.bfloat16 and _multiplies_bfloat16():
        return torch.bfloat16
    return dtype_of(settings.dtype, device)


def _multiplies_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "arm_bf16"))


def _max_model_len(config: PreTrainedConfig, settings: ModelSettings) -> int:
    limit = _num_positions(config)
    if limit and settings.max_model_len > limit:
        message = f"max_model_len {settings.max_model_len} > {limit}"
        raise LoadError(f'{message} (limit of model "{settings.path}")')
    return settings.max_model_len or limit


def _num_positions(config: PreTrainedConfig) -> int:
    text = config.get_text_config()
    limit = int(getattr(text, "max_position_embeddings", None) or 0)
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        # Past this length transformers turns the whole batch by other angles, the short sequences too.
        limit = min(limit, int(rope.get("original_max_position_embeddings") or limit))
    return limit


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All that end an answer: the generation config's, the model's and the tokenizer's."""
    configs = (model.generation_config, model.config, model.config.get_text_config(), tokenizer)
    ids: set[int] = set()
    for config in configs:
        eos = getattr(config, "eos_token_id", None)
        ids.update([eos] if isinstance(eos, int) else eos or [])
    return frozenset(ids)
