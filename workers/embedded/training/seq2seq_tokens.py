"""The tokenizer of the two models that read one text and write another."""

from collections.abc import Iterator

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, END, BEGIN = "<pad>", "</s>", "<s>"


def train_tokenizer(
    texts: Iterator[str], vocabulary: int, max_tokens: int, begin: bool = False
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer over these texts; it ends what it encodes with `</s>`.

    With `begin` it also begins it with `<s>`, for a model that must know what stands first.
    """
    marks = [PAD, END, BEGIN] if begin else [PAD, END]
    tokenizer = Tokenizer(models.BPE())
    # Digits stand alone: a number is copied digit by digit.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    single = f"{BEGIN} $A {END}" if begin else f"$A {END}"
    ids = [(mark, tokenizer.token_to_id(mark)) for mark in marks]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=ids)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        bos_token=BEGIN if begin else None,
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
    )
