"""The tokenizer: CLIP's own kind (byte pairs that end words), trained on captions."""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

VOCABULARY = 1200
# Tokens of a prompt with its begin and end; a longer one is cut.
CONTEXT = 40
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], folder: Path) -> CLIPTokenizer:
    """Learns the merges, and leaves the tokenizer in `folder`; its merges keep words whole."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=40,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    clip = CLIPTokenizer(
        vocab=_vocabulary(learned, alphabet),
        merges=[tuple(pair) for pair in learned["merges"]],  # type: ignore[misc]
        model_max_length=CONTEXT,
    )
    clip.save_pretrained(folder)
    return clip


def _vocabulary(learned: dict[str, dict[str, int]], alphabet: list[str]) -> dict[str, int]:
    """The learned tokens with every byte at a word's end, which training saw only in part."""
    tokens = dict.fromkeys(list(learned["vocab"]) + [letter + "</w>" for letter in sorted(alphabet)])
    return {token: at for at, token in enumerate([*tokens, BEGIN, END])}
