"""Loads the models that write a text from a text, by what their stage is for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from config.settings import ModelSettings, StageSettings
from workers.embedded import SUMMARY, TRANSLATION
from workers.errors import LoadError
from workers.hub import (
    device_of,
    dtype_of,
    load_tokenizer,
    load_weights,
    one_line,
    options_of,
    settle,
    source_of,
)
from workers.pipeline.generator import Generator
from workers.pipeline.intake import Cut
from workers.pipeline.languages import translation_framing
from workers.pipeline.sentences import cut, sentences
from workers.pipeline.wording import Framing, summary_framing

Frames = Callable[[PreTrainedTokenizerBase, PreTrainedConfig, StageSettings], Framing]


def load_summary_model(settings: StageSettings, model_settings: ModelSettings) -> Generator:
    """Texts are read in parts as long as the model takes. Raises LoadError."""
    return _load(settings, model_settings, SUMMARY, summary_framing, cut)


def load_translation_model(settings: StageSettings, model_settings: ModelSettings) -> Generator:
    """Texts are read sentence by sentence, as such models were trained. Raises LoadError."""
    return _load(settings, model_settings, TRANSLATION, translation_framing, sentences)


def _load(
    settings: StageSettings, model_settings: ModelSettings, embedded: Path, frames: Frames, cut_text: Cut
) -> Generator:
    settle()
    source, device = source_of(settings.model, embedded), device_of(model_settings.device)
    options = options_of(model_settings)
    config = _config(settings.model, source, options)
    tokenizer = load_tokenizer(settings.model, source, options)
    options |= {"dtype": dtype_of(model_settings.dtype, device)}
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = load_weights(settings.model, kind, source, options, device)
    try:
        _check_direction(model)
        framing = frames(tokenizer, model.config, settings)
        loaded = Generator(model, tokenizer, framing, settings, model_settings, cut_text)
        loaded.warm_up()
    except LoadError as error:
        raise LoadError(f'model "{settings.model}": {error}') from error
    return loaded


@torch.inference_mode()
def _check_direction(model: PreTrainedModel) -> None:
    """Some that transformers loads as causal are BERTs with a head: they read what follows, too."""
    if model.config.is_encoder_decoder:
        return
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=model.device)
    one, other = model(input_ids=ids).logits[:, :3].float()
    if not torch.allclose(one, other, rtol=0, atol=0.001 * float(one.std())):
        raise LoadError(f"it is a {type(model).__name__} that reads what follows: no model that writes")


def _config(path: str, source: str, options: dict[str, Any]) -> PreTrainedConfig:
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source, **options)
    except Exception as error:
        raise LoadError(f'model "{path}" cannot be loaded: {one_line(error)}') from error
    return config
