"""The tokenizers of the families that write texts, each of its own kind, trained on a few sentences."""

import io
import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import sentencepiece
from tokenizers.processors import TemplateProcessing
from transformers import (
    M2M100Tokenizer,
    MarianTokenizer,
    MBart50Tokenizer,
    NllbTokenizer,
    PegasusTokenizer,
    PreTrainedTokenizerBase,
    T5Tokenizer,
)

from tests.models import CORPUS, make_tokenizer

NLLB_CODES = ["eng_Latn", "deu_Latn", "fra_Latn", "zho_Hans", "zho_Hant", "nob_Latn", "arb_Arab", "kor_Hang"]


def make_family_tokenizer(folder: Path, family: str) -> PreTrainedTokenizerBase:
    """Byte-level where the family has none of its own; `folder` gets the files that it is made from."""
    with warnings.catch_warnings():
        # Marian's tokenizer names a package that it then does not use.
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        return TOKENIZERS.get(family, _byte_level)(folder)


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
    paths[0].write_bytes(sentencepiece_model())
    paths[1].write_bytes(sentencepiece_model())
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
    paths[1].write_bytes(sentencepiece_model())
    return M2M100Tokenizer(*map(str, paths))


def _nllb(_folder: Path) -> PreTrainedTokenizerBase:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece, _ in _unigram() if len(piece) == 1)]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    return NllbTokenizer(vocab=vocab, merges=[], extra_special_tokens=NLLB_CODES)


def _mbart(_folder: Path) -> PreTrainedTokenizerBase:
    return MBart50Tokenizer()


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
    "mbart": _mbart,
    "pegasus": _pegasus,
    "t5": _t5,
}


@cache
def sentencepiece_model() -> bytes:
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
    model = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    return [(model.id_to_piece(i), model.get_score(i)) for i in range(3, model.vocab_size())]


def _number(pieces: list[str], path: Path) -> None:
    path.write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
