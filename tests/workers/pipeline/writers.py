"""Makes tiny models that write texts: random weights, and a real tokenizer of each family's own kind."""

import io
import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import sentencepiece
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    M2M100Tokenizer,
    MarianTokenizer,
    NllbTokenizer,
    PegasusTokenizer,
    PreTrainedTokenizerBase,
    T5Tokenizer,
)

from config.settings import ModelSettings, StageSettings
from tests.models import CORPUS, SHAPES, make_tokenizer
from workers.messages import PipelineWork
from workers.pipeline.engine import PipelineEngine
from workers.pipeline.generator import Generator
from workers.pipeline.load_text import load_summary_model, load_translation_model
from workers.pipeline.piece import Piece

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
    "m2m_100": LAYERS,
    "nllb": LAYERS,
    "pegasus": LAYERS,
    "t5": T5 | {"initializer_factor": 3.0, "tie_word_embeddings": False, "task_specific_params": T5_TASKS},
}
CAUSAL = ("llama", "gpt2", "mistral", "gemma3_text")
FAMILIES = (*WRITERS, *CAUSAL)
NLLB_CODES = ["eng_Latn", "deu_Latn", "fra_Latn", "zho_Hans", "zho_Hant", "nob_Latn", "arb_Arab", "kor_Hang"]


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
    with warnings.catch_warnings():
        # Marian's tokenizer names a package that it then does not use.
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        tokenizer = TOKENIZERS.get(family, _byte_level)(folder)
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
START = {"bart": "eos_token_id", "m2m_100": "eos_token_id", "nllb": "eos_token_id"}


def summariser(folder: Path, settings: ModelSettings, **stage: Any) -> Generator:
    return load_summary_model(stage_settings("summary", folder, **stage), settings)


def translator(folder: Path, settings: ModelSettings, **stage: Any) -> Generator:
    return load_translation_model(stage_settings("translation", folder, **stage), settings)


def pieces(generator: Generator, *texts: str, job_id: int = 1, **work: Any) -> list[Piece]:
    """As a stage's place in a job would make them."""
    asked = PipelineWork(["made"], [], **work)
    return [Piece(job_id, 0, i, text, asked, generator.measure(text)) for i, text in enumerate(texts)]


def make_engine(settings: ModelSettings, **stages: StageSettings) -> PipelineEngine:
    """A pipeline of these stages alone."""
    return PipelineEngine("test", msgspec.structs.replace(settings, stages=stages, steps=list(stages)))


def stage_settings(kind: Any, folder: Path, **stage: Any) -> StageSettings:
    usual = {"languages": ["en", "de"], "max_new_tokens": 20}
    return StageSettings(kind=kind, inputs=["text"], outputs=["made"], model=str(folder), **(usual | stage))


def _byte_level(_folder: Path) -> PreTrainedTokenizerBase:
    return make_tokenizer()


def _bart(_folder: Path) -> PreTrainedTokenizerBase:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<|start|>", "pad_token": "<|pad|>"})
    ends = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("<|start|>", "<|end|>")]
    processor = TemplateProcessing(single="<|start|> $A <|end|>", special_tokens=ends)
    tokenizer.backend_tokenizer.post_processor = processor
    return tokenizer


def _marian(folder: Path) -> PreTrainedTokenizerBase:
    pieces = ["</s>", "<unk>", *(piece for piece, _ in _unigram()), "<pad>"]
    paths = [folder / name for name in ("source.spm", "target.spm", "vocab.json")]
    paths[0].write_bytes(_sentencepiece())
    paths[1].write_bytes(_sentencepiece())
    _number(pieces, paths[2])
    return MarianTokenizer(*map(str, paths))


def _marian_to_many(folder: Path) -> PreTrainedTokenizerBase:
    tokenizer = _marian(folder)
    vocab = [*json.loads((folder / "vocab.json").read_text()), ">>deu<<", ">>fra<<"]
    _number(vocab, folder / "vocab.json")
    return MarianTokenizer(*tokenizer.spm_files, str(folder / "vocab.json"))


def _m2m_100(folder: Path) -> PreTrainedTokenizerBase:
    paths = [folder / name for name in ("vocab.json", "sentencepiece.bpe.model")]
    _number(["<s>", "<pad>", "</s>", "<unk>", *(piece for piece, _ in _unigram())], paths[0])
    paths[1].write_bytes(_sentencepiece())
    return M2M100Tokenizer(*map(str, paths))


def _nllb(_folder: Path) -> PreTrainedTokenizerBase:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece, _ in _unigram() if len(piece) == 1)]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    return NllbTokenizer(vocab=vocab, merges=[], extra_special_tokens=NLLB_CODES)


def _pegasus(_folder: Path) -> PreTrainedTokenizerBase:
    special = [(token, 0.0) for token in ("<pad>", "</s>", "<mask_1>", "<mask_2>", "<unk>")]
    return PegasusTokenizer(vocab=[*special, *_unigram()], offset=4)


def _t5(_folder: Path) -> PreTrainedTokenizerBase:
    special = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    return T5Tokenizer(vocab=[*special, *_unigram()], extra_ids=2)


TOKENIZERS: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
    "bart": _bart,
    "marian": _marian,
    "marian_to_many": _marian_to_many,
    "m2m_100": _m2m_100,
    "nllb": _nllb,
    "pegasus": _pegasus,
    "t5": _t5,
}


@cache
def _sentencepiece() -> bytes:
    """A model file of sentencepiece, whole."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=made,
        vocab_size=200,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    return made.getvalue()


@cache
def _unigram() -> list[tuple[str, float]]:
    """Its pieces with their scores, but for the special ones, which are its first three."""
    model = sentencepiece.SentencePieceProcessor(model_proto=_sentencepiece())
    return [(model.id_to_piece(i), model.get_score(i)) for i in range(3, model.vocab_size())]


def _number(pieces: list[str], path: Path) -> None:
    path.write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
