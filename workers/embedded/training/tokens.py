"""The tokenizer of the language model, and the training text as one long row of token ids."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from workers.embedded.training.corpus import (
    BEGIN,
    CHAT_TEMPLATE,
    END,
    PAD,
    SPECIAL_TOKENS,
    documents,
)

VOCABULARY = 2048
CONTEXT = 1024
_BATCH = 1000


def train_tokenizer(seed: int, num_documents: int, vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that puts `<|begin|>` before a plain prompt and knows the chat template."""
    tokenizer = Tokenizer(models.BPE())
    # Digits stand alone: sums are learned from them, not from whole numbers.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(documents(seed), num_documents), trainer)
    begin = (BEGIN, tokenizer.token_to_id(BEGIN))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[begin])
    return _dressed(tokenizer)


def _dressed(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[token for token in SPECIAL_TOKENS if token not in (BEGIN, END, PAD)],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def encode(tokenizer: PreTrainedTokenizerFast, source: Iterator[str], num_tokens: int) -> NDArray[np.uint16]:
    """The first `num_tokens` token ids of these documents, [num_tokens]."""
    row, filled = np.zeros(num_tokens, dtype=np.uint16), 0
    while filled < num_tokens:
        encoded = tokenizer.backend_tokenizer.encode_batch(
            list(islice(source, _BATCH)), add_special_tokens=False
        )
        ids = np.concatenate([np.asarray(one.ids, dtype=np.uint16) for one in encoded])[: num_tokens - filled]
        row[filled : filled + len(ids)] = ids
        filled += len(ids)
    return row


def repeats(seed: int, num_tokens: int, vocabulary: int) -> NDArray[np.uint16]:
    """Chats of random tokens that are said and said again, [num_tokens]: only carrying over helps."""
    dice, row = Random(seed), list[int]()
    begin, end, _, user, assistant, _ = range(len(SPECIAL_TOKENS))
    while len(row) < num_tokens:
        said = [dice.randrange(len(SPECIAL_TOKENS), vocabulary) for _ in range(dice.randint(3, 24))]
        row += [begin, user, *said, end, assistant, *said, end]
    return np.array(row[:num_tokens], dtype=np.uint16)


def write_tokens(row: NDArray[np.uint16], path: Path) -> None:
    """Writes the row whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(row.tobytes())
    fresh.replace(path)


def read_tokens(path: Path) -> NDArray[np.uint16]:
    """The row of token ids that `write_tokens` wrote."""
    return np.fromfile(path, dtype=np.uint16)
