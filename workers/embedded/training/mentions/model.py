"""The pipeline: tokenizer, sentence splitter, word vectors, and the parser that marks names."""

from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import spacy
import spacy.training
from thinc.api import fix_random_seed

from workers.embedded.training.mentions.marks import LABELS, Example, Span

# A spacy Language, which has no complete annotations.
Pipeline: TypeAlias = Any

WIDTH = 80
# Rows of the tables that words are hashed into: the word, how it begins, how it ends, its shape.
ROWS = {"NORM": 5000, "PREFIX": 1000, "SUFFIX": 2500, "SHAPE": 500}
DEPTH = 4

# Shares of the words that the training forgets, for each label and for words outside of names.
FORGOTTEN = {"PERSON": 0.45, "ORG": 0.4, "GPE": 0.45, "DATE": 0.03, "MONEY": 0.03}
FORGOTTEN_WORDS = 0.08
# Forgotten as often as names: that a word is new and begins a sentence must not make it a name.
FORGOTTEN_STARTS = 0.3

_TOK2VEC = {
    "@architectures": "spacy.Tok2Vec.v2",
    "embed": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": WIDTH,
        "attrs": list(ROWS),
        "rows": list(ROWS.values()),
        "include_static_vectors": False,
    },
    "encode": {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": WIDTH,
        "window_size": 1,
        "maxout_pieces": 3,
        "depth": DEPTH,
    },
}
_PARSER = {
    "@architectures": "spacy.TransitionBasedParser.v2",
    "state_type": "ner",
    "extra_state_tokens": True,
    "hidden_width": 64,
    "maxout_pieces": 2,
    "use_upper": True,
    "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "*"},
}
_META = {
    "name": "sluice_entities",
    "version": "0.1.0",
    "description": "Marks persons, organisations, places, dates and sums of money in English text.",
    "author": "Sluice",
    "license": "Apache-2.0",
    # Any 3.8 reads it; spaCy would write down the very one that trained it.
    "spacy_version": ">=3.8.0,<3.9.0",
}


def build(seed: int) -> Pipeline:
    """A fresh pipeline; the seed fixes its weights."""
    fix_random_seed(seed)
    nlp = spacy.blank("en")
    nlp.meta.update(_META)
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("tok2vec", config={"model": _TOK2VEC})
    parser: Any = nlp.add_pipe("ner", config={"model": _PARSER})
    for label in LABELS:
        parser.add_label(label)
    nlp.initialize()
    return nlp


def gold(nlp: Pipeline, example: Example) -> Any:
    """The example as spaCy trains on it; names are widened to whole tokens."""
    doc = nlp.make_doc(example.text)
    spans = [doc.char_span(*span[:2], label=span[2], alignment_mode="expand") for span in example.spans]
    reference = doc.copy()
    reference.ents = spans
    return spacy.training.Example(doc, reference)


def forget(dice: Random, example: Any) -> None:
    """Makes strangers of some words: what is left of them is their beginning, their end and their shape.

    Without it the model learned the names by heart: F1 on new names stayed at 77 %.
    """
    for token, known in zip(example.predicted, example.reference, strict=True):
        unnamed = FORGOTTEN_STARTS if token.is_title else FORGOTTEN_WORDS
        if dice.random() < FORGOTTEN.get(known.ent_type_, unnamed):
            token.norm_ = f"stranger {dice.randrange(50_000)}"


def found(doc: Any) -> set[Span]:
    """The names that are marked in a document."""
    return {(span.start_char, span.end_char, span.label_) for span in doc.ents}


def widened(nlp: Pipeline, example: Example) -> set[Span]:
    """The names of an example as a faultless model would mark them."""
    return found(gold(nlp, example).reference)


def save(nlp: Pipeline, folder: Path) -> None:
    """The pipeline as spaCy loads it, without the words that the training met."""
    nlp.to_disk(folder, exclude=["vocab"])
