"""Where weights come from and where they go: what every engine of transformers' models asks."""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from config.settings import ModelSettings
from workers.errors import LoadError

EMBEDDED = "embedded"
# Of a model that does not say how much it reads.
DEFAULT_MAX_TOKENS = 512


def settle() -> None:
    """Once in a process, before its first model: threads as told, no notes past the worker's log."""
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or torch.get_num_threads()))


def source_of(path: str, embedded: Path, index: str = "config.json") -> str:
    """A folder with its `index`, or the hub id that `path` is. Raises LoadError."""
    folder = embedded if path == EMBEDDED else Path(path).expanduser()
    if folder.is_dir():
        if not (folder / index).is_file():
            raise LoadError(f'model folder "{path}" has no {index}')
        return str(folder)
    if path == EMBEDDED or path.count("/") != 1 or path[0] in "./~":
        raise LoadError(f'model folder "{folder if path == EMBEDDED else path}" does not exist')
    return path


def options_of(settings: ModelSettings) -> dict[str, Any]:
    """What `from_pretrained` is told, whatever it loads."""
    return {"revision": settings.revision or "main", "trust_remote_code": settings.trust_remote_code}


def device_of(name: str) -> torch.device:
    """Raises LoadError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LoadError(f'device "{name}" is not there: this machine has {torch.cuda.device_count()} GPUs')
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise LoadError('device "mps" is not there')
    return device


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """`auto` is float32 on a CPU, bfloat16 elsewhere."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def load_tokenizer(path: str, source: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    """Raises LoadError."""
    try:
        with warnings.catch_warnings():
            # Marian's tokenizer names a package that it then does not use.
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        raise LoadError(f'model "{path}" has no usable tokenizer: {one_line(error)}') from error
    if not len(tokenizer):
        raise LoadError(f'model "{path}" has no usable tokenizer: its vocabulary is empty')
    return tokenizer


def load_weights(
    path: str, kind: Any, source: str, options: dict[str, Any], device: torch.device
) -> PreTrainedModel:
    """A model of the auto class `kind`, on the device, ready to be used. Raises LoadError."""
    try:
        loaded: Any = kind.from_pretrained(source, output_loading_info=True, **options)
        model: PreTrainedModel = loaded[0].to(device).eval()
    except Exception as error:
        raise LoadError(f'model "{path}" cannot be loaded: {one_line(error)}') from error
    if missing := sorted(loaded[1]["missing_keys"]):
        # transformers would fill them with random numbers and go on.
        message = f'{len(missing)} weights are missing, the first is "{missing[0]}"'
        raise LoadError(f'model "{path}" cannot be loaded: {message}')
    return model


def one_line(error: Exception) -> str:
    """The first line of what a library says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def describe(model: PreTrainedModel) -> str:
    """Such as "BertForSequenceClassification, 1.2 M parameters, float32 on cpu"."""
    dtype = str(model.dtype).removeprefix("torch.")
    size = f"{model.num_parameters() / 1e6:,.1f} M parameters"
    return f"{type(model).__name__}, {size}, {dtype} on {model.device}"


def max_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """What the model reads at most, special tokens included."""
    config: Any = model.config
    names = ("max_encoder_position_embeddings", "max_position_embeddings")
    limit = next((int(known) for name in names if (known := getattr(config, name, None))), DEFAULT_MAX_TOKENS)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "longformer"):
        # Their positions begin after the padding index.
        limit -= int(config.pad_token_id or 0) + 1
    return min(limit, tokenizer.model_max_length)
