"""How well the pipeline finds names, measured on sentences and names that the training never saw."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import spacy

from workers.embedded.training.mentions.corpus import fresh, measured, plain_texts, written_texts
from workers.embedded.training.mentions.marks import LABELS, Example, Span
from workers.embedded.training.mentions.model import Pipeline, found, widened


@dataclass(frozen=True)
class Score:
    """Counts of names: found and true, found, true."""

    hits: int
    marked: int
    true: int

    @property
    def precision(self) -> float:
        return self.hits / self.marked if self.marked else 0.0

    @property
    def recall(self) -> float:
        return self.hits / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both, 0 to 1."""
        return 2 * self.hits / (self.marked + self.true) if self.hits else 0.0


@dataclass(frozen=True)
class Evaluation:
    """All that the model card tells; scores by label, and "all"."""

    held_out: dict[str, Score]
    fresh: dict[str, Score]
    written: dict[str, Score]
    num_held_out: int
    num_fresh: int
    num_written: int
    num_plain: int
    plain_marked: int


def score(pairs: Iterable[tuple[set[Span], set[Span]]], label: str | None = None) -> Score:
    """Strict: a name counts when its start, end and label are all right. Pairs are (marked, true)."""
    hits = marked = true = 0
    for given, wanted in pairs:
        mine = {span for span in given if label in (None, span[2])}
        right = {span for span in wanted if label in (None, span[2])}
        hits, marked, true = hits + len(mine & right), marked + len(mine), true + len(right)
    return Score(hits, marked, true)


def pairs(nlp: Pipeline, examples: Sequence[Example]) -> list[tuple[set[Span], set[Span]]]:
    """What the pipeline marks in each text, and what it should."""
    docs = nlp.pipe(one.text for one in examples)
    return [(found(doc), widened(nlp, one)) for doc, one in zip(docs, examples, strict=True)]


def scores(nlp: Pipeline, examples: Sequence[Example]) -> dict[str, Score]:
    """The score of each label, and of all together as "all"."""
    both = pairs(nlp, examples)
    return {"all": score(both), **{label: score(both, label) for label in LABELS}}


def load(folder: Path) -> Pipeline:
    """The pipeline, loaded as anyone would load it."""
    return spacy.load(folder)


def evaluate(folder: Path) -> Evaluation:
    """Measures the pipeline in this folder."""
    nlp = load(folder)
    written, plain = written_texts(), plain_texts()
    return Evaluation(
        held_out=scores(nlp, measured()),
        fresh=scores(nlp, fresh()),
        written=scores(nlp, written),
        num_held_out=len(measured()),
        num_fresh=len(fresh()),
        num_written=len(written),
        num_plain=len(plain),
        plain_marked=scores(nlp, plain)["all"].marked,
    )
