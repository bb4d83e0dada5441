"""The tokenizer of the sentiment model: lower case, byte-level BPE, merges dropped at random in training."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from workers.embedded.training.opinions.corpus import texts
from workers.embedded.training.opinions.families import FORMS
from workers.embedded.training.opinions.heldout import words_of

VOCABULARY = 4800
CONTEXT = 256
PAD, UNKNOWN, BEGIN, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Share of merges left out while training, so that a word is met in its pieces too.
DROPPED_MERGES = 0.05


def train_tokenizer(seed: int, num_texts: int, vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A fast tokenizer that writes `[CLS] text [SEP]`; digits stand alone."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex("[‘’`´]"), "'"), normalizers.Lowercase()]  # noqa: RUF001
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    tokenizer.train_from_iterator(_lessons(seed, num_texts), trainer)
    ends = [(BEGIN, tokenizer.token_to_id(BEGIN)), (END, tokenizer.token_to_id(END))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A {END} $B {END}", special_tokens=ends
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        model_max_length=CONTEXT,
        model_input_names=["input_ids", "attention_mask"],
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=BEGIN,
        sep_token=END,
        mask_token=MASK,
    )


def _lessons(seed: int, num_texts: int) -> Iterator[str]:
    """The taught words: forms of a family once, other words six times, very common words more often.

    Counted so, what a family shares (`confus`, `delight`) becomes a piece before its longer forms do.
    """
    counts = Counter(word for text, _ in islice(texts(seed), num_texts) for word in words_of(text))
    family = Counter(form.root for form in FORMS if form.word in counts)
    of_family = {form.word for form in FORMS if family[form.root] > 1 and form.word != form.root}
    for word, count in sorted(counts.items()):
        # What is rarer was mostly invented.
        if count >= num_texts // 4000:
            yield from [word] * (40 if count > num_texts // 100 else 2 if word in of_family else 6)
    yield from [*".,!?:;'-()", "..."] * 6


def with_dropped_merges(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """A copy for training that leaves out merges at random; drawn afresh, not from a seed."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.model.dropout = DROPPED_MERGES
    copy.enable_truncation(CONTEXT)
    return copy
