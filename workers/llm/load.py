"""From a model's settings to a model on its device, or one line that says why not."""

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from config.settings import ModelSettings
from workers.errors import LoadError

log = logging.getLogger(__name__)

EMBEDDED = "embedded"


class LoadedModel(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_model_len: int  # 0: without limit
    eos_ids: frozenset[int]

    @property
    def vocab_size(self) -> int:
        return int(self.model.config.get_text_config().vocab_size)

    @property
    def description(self) -> str:
        """Such as "LlamaForCausalLM, 7.2 M parameters, float32 on cpu, 1024 tokens"."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        length = f", {self.max_model_len} tokens" if self.max_model_len else ""
        size = f"{self.model.num_parameters() / 1e6:,.1f} M parameters"
        return f"{type(self.model).__name__}, {size}, {dtype} on {self.model.device}{length}"


def load(settings: ModelSettings) -> LoadedModel:
    """Raises LoadError."""
    _quieten()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads()))
    source = _source(settings)
    config = _config(source, settings)
    device = _device(settings.device)
    tokenizer = _tokenizer(source, settings)
    model = _model(source, config, settings, device)
    return LoadedModel(model, tokenizer, _max_model_len(config, settings), _eos_ids(model, tokenizer))


def _quieten() -> None:
    """Its notes and progress bars go to the terminal past the worker's log."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _source(settings: ModelSettings) -> str:
    path = settings.path
    if path == EMBEDDED:
        from workers.embedded import LANGUAGE

        path = str(LANGUAGE)
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise LoadError(f'model folder "{path}" has no config.json')
        return str(folder)
    if settings.path == EMBEDDED or path.count("/") != 1 or path[0] in "./~":
        raise LoadError(f'model folder "{path}" does not exist')
    return path


def _options(settings: ModelSettings) -> dict[str, Any]:
    return {"revision": settings.revision or "main", "trust_remote_code": settings.trust_remote_code}


def _config(source: str, settings: ModelSettings) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, **_options(settings))
    except Exception as error:
        raise LoadError(f'model "{settings.path}" cannot be read: {_one_line(error)}') from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not _brings_code(config, settings):
        name = (config.architectures or [config.model_type])[0]
        raise LoadError(f'model "{settings.path}" is a {name}, which is no causal language model')
    return config


def _brings_code(config: PreTrainedConfig, settings: ModelSettings) -> bool:
    return settings.trust_remote_code and "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LoadError(f'device "{name}" is not there: this machine has {torch.cuda.device_count()} GPUs')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise LoadError('device "mps" is not there')
    return device


def _tokenizer(source: str, settings: ModelSettings) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **_options(settings))
    except Exception as error:
        raise LoadError(f'model "{settings.path}" has no usable tokenizer: {_one_line(error)}') from error
    if not len(tokenizer):
        raise LoadError(f'model "{settings.path}" has no usable tokenizer: its vocabulary is empty')
    return tokenizer


def _model(
    source: str, config: PreTrainedConfig, settings: ModelSettings, device: torch.device
) -> PreTrainedModel:
    try:
        options = _options(settings) | {"config": config, "dtype": _dtype(settings.dtype, device)}
        loaded: Any = AutoModelForCausalLM.from_pretrained(source, output_loading_info=True, **options)
        model: PreTrainedModel = loaded[0].to(device).eval()
    except Exception as error:
        raise LoadError(f'model "{settings.path}" cannot be loaded: {_one_line(error)}') from error
    if missing := sorted(loaded[1]["missing_keys"]):
        # transformers would fill them with random numbers and go on.
        message = f'{len(missing)} weights are missing, the first is "{missing[0]}"'
        raise LoadError(f'model "{settings.path}" cannot be loaded: {message}')
    return model


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtype: torch.dtype = getattr(torch, name)
    return dtype


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


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
