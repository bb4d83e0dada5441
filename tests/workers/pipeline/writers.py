"""Makes tiny models that write texts: random weights, and a real tokenizer of each family's own kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
)

from config.settings import ModelSettings, StageSettings
from tests.models import SHAPES
from tests.workers.pipeline.writing_tokenizers import make_family_tokenizer
from workers.messages import PipelineWork
from workers.pipeline.decoders import Decoding
from workers.pipeline.engine import PipelineEngine
from workers.pipeline.generator import Generator
from workers.pipeline.load_text import load_summary_model, load_translation_model
from workers.pipeline.piece import Made, Outcome, Piece, Text

LAYERS = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    # What a model writes must depend on what it reads, and not repeat itself for ever.
    "init_std": 0.8,
    "scale_embedding": False,
    "tie_word_embeddings": False,
}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "n_positions": 64}
T5_TASKS = {
    "summarization": {"prefix": "summarize: "},
    "translation_en_to_de": {"prefix": "translate English to German: "},
    "translation_en_to_fr": {"prefix": "translate English to French: "},
}
WRITERS: dict[str, dict[str, Any]] = {
    "bart": LAYERS | {"init_std": 0.1, "forced_bos_token_id": 0, "forced_eos_token_id": 2},
    "marian": LAYERS | {"init_std": 0.3},
    "marian_to_many": LAYERS,
    "mbart": LAYERS | {"init_std": 0.3},
    "m2m_100": LAYERS,
    "nllb": LAYERS,
    "pegasus": LAYERS,
    "t5": T5 | {"initializer_factor": 3.0, "tie_word_embeddings": False, "task_specific_params": T5_TASKS},
}
CAUSAL = ("llama", "gpt2", "mistral", "gemma3_text")
MAX_STEPS = 2_000
TEXTS = ["Good.", "A fox carried a lantern.", "The river told", "Streams of light", "a story"]
FAMILIES = (*WRITERS, *CAUSAL)


def make_writer(
    folder: Path,
    family: str,
    said: dict[str, Any] | None = None,
    ends_often: bool = False,
    **overrides: Any,
) -> Path:
    """Save a tiny random model to `folder`, the same one every time.

    `said` goes to its generation config, `overrides` to its config. With `ends_often` every
    seventh token ends an answer.
    """
    folder.mkdir(exist_ok=True)
    tokenizer = make_family_tokenizer(folder, family)
    tokenizer.save_pretrained(folder)
    ids = {
        # M2M100 counts its languages apart.
        "vocab_size": len(tokenizer) + 108 * (family == "m2m_100"),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    if family in WRITERS:
        ids["decoder_start_token_id"] = (
            START.get(family, "pad_token_id") and ids[START.get(family, "pad_token_id")]
        )
    shape = (WRITERS | SHAPES)[family]
    architecture = ARCHITECTURES.get(family, family)
    config = AutoConfig.for_model(architecture, **(shape | ids | overrides))
    kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = kind.from_config(config)
    for name, value in (said or {}).items():
        setattr(model.generation_config, name, value)
    if ends_often:
        model.generation_config.eos_token_id = [tokenizer.eos_token_id, *range(20, len(tokenizer), 7)]
    model.save_pretrained(folder)
    return folder


# Where the tokenizer's name is another.
ARCHITECTURES = {"nllb": "m2m_100", "marian_to_many": "marian"}
# What the decoder reads first, where it is not the padding.
START = {"bart": "eos_token_id", "mbart": "eos_token_id", "m2m_100": "eos_token_id", "nllb": "eos_token_id"}


def summariser(folder: Path, settings: ModelSettings, **stage: Any) -> Generator:
    return load_summary_model(stage_settings("summary", folder, **stage), settings)


def translator(folder: Path, settings: ModelSettings, **stage: Any) -> Generator:
    return load_translation_model(stage_settings("translation", folder, **stage), settings)


def pieces(generator: Generator, *texts: str, job_id: int = 1, **work: Any) -> list[Piece]:
    """As a stage's place in a job would make them."""
    asked = PipelineWork(["made"], [], **work)
    return [Piece(job_id, 0, i, text, asked, generator.measure(text)) for i, text in enumerate(texts)]


def run_all(generator: Generator) -> list[Outcome]:
    told: list[Outcome] = []
    for _ in range(MAX_STEPS):
        if not generator.has_work():
            return told
        told += generator.step()
    raise AssertionError(f"still working after {MAX_STEPS} steps")


def results(told: list[Outcome]) -> dict[tuple[int, int], str]:
    return {(one.piece.job_id, one.piece.index): one.value for one in told if isinstance(one, Made)}


def run_with(generator: Generator, some: list[Piece]) -> dict[tuple[int, int], str]:
    generator.put(some)
    return results(run_all(generator))


def spy(generator: Generator, monkeypatch: pytest.MonkeyPatch, see: Callable[[Decoding], None]) -> None:
    """`see` is called before each step's computing."""
    choose = generator._rules.choose

    def seen(decoding: Decoding, processors: Any) -> list[int]:
        see(decoding)
        return choose(decoding, processors)

    monkeypatch.setattr(generator._rules, "choose", seen)


def streamed(told: list[Outcome], index: int) -> str:
    """The text that was told of one piece."""
    return "".join(one.text for one in told if isinstance(one, Text) and one.piece.index == index)


def make_engine(settings: ModelSettings, **stages: StageSettings) -> PipelineEngine:
    """A pipeline of these stages alone."""
    return PipelineEngine("test", msgspec.structs.replace(settings, stages=stages, steps=list(stages)))


def stage_settings(kind: Any, folder: Path, **stage: Any) -> StageSettings:
    usual = {"languages": ["en", "de"], "max_new_tokens": 20}
    return StageSettings(kind=kind, inputs=["text"], outputs=["made"], model=str(folder), **(usual | stage))
