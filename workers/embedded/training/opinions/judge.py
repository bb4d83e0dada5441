"""Measures the shipped folder on sentences that training never showed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from workers.embedded.training.opinions.corpus import LABELS, Labelled, of_kind, texts
from workers.embedded.training.opinions.families import rows
from workers.embedded.training.opinions.speaker import NEW_FAMILIES, NEW_FORMS, NEW_PATTERNS, Source

_SEED = 77
# Each figure: its name, the kind of sentence, where patterns and words come from.
SETS: tuple[tuple[str, str, Source], ...] = (
    ("plain opinions, opinion words known", "plain", NEW_PATTERNS),
    ("plain opinions, new forms of opinion words", "plain", NEW_FORMS),
    ("negation, opinion words known", "negation", NEW_PATTERNS),
    ("negation, new forms of opinion words", "negation", NEW_FORMS),
    ("mixed, opinion words known", "mixed", NEW_PATTERNS),
    ("mixed, new forms of opinion words", "mixed", NEW_FORMS),
    ("neutral statements", "neutral", NEW_PATTERNS),
)
WEAK = ("plain opinions, wholly new opinion roots", "plain", NEW_FAMILIES)


@dataclass(frozen=True)
class Figure:
    """Right ones of so many."""

    name: str
    right: int
    total: int

    @property
    def accuracy(self) -> float:
        """The share of right ones."""
        return self.right / self.total


class Judge:
    """The shipped model; `label` says what it thinks of texts."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()

    def label(self, batch: Sequence[str]) -> list[int]:
        """The index in LABELS for each text, 64 at a time, like lengths together."""
        order = sorted(range(len(batch)), key=lambda at: len(batch[at]))
        found = [0] * len(batch)
        for start in range(0, len(order), 64):
            at = order[start : start + 64]
            rows = self.tokenizer([batch[n] for n in at], return_tensors="pt", padding=True, truncation=True)
            with torch.inference_mode():
                best = self.model(**rows).logits.argmax(-1).tolist()
            for n, label in zip(at, best, strict=True):
                found[n] = label
        return found

    def figure(self, name: str, sample: Sequence[Labelled]) -> Figure:
        """How many of these the model gets right."""
        said = self.label([text for text, _ in sample])
        right = sum(label == true for label, (_, true) in zip(said, sample, strict=True))
        return Figure(name, right, len(sample))


def sample(kind: str, source: Source, count: int) -> list[Labelled]:
    """Different sentences, always the same ones."""
    return list(dict(islice(of_kind(_SEED, kind, source), 3 * count)).items())[:count]


def free(name: str) -> list[Labelled]:
    """The texts of `texts/<name>.txt`, written by hand: a sign, then the text."""
    return [(row[2:], "-0+".index(row[0])) for row in rows(name)]


def evaluate(folder: Path, say: Callable[[str], None], count: int = 600) -> list[Figure]:
    """All figures; the last three are paragraphs, hand-written texts and the weak one."""
    judge = Judge(folder)
    asked = [(name, sample(kind, source, count)) for name, kind, source in SETS]
    asked.append(("texts of several sentences", list(islice(texts(_SEED, NEW_PATTERNS), count))))
    asked.append(("texts written by hand", free("free")))
    asked.append((WEAK[0], sample(WEAK[1], WEAK[2], count)))
    figures = [judge.figure(name, labelled) for name, labelled in asked]
    for figure in figures:
        say(f"{figure.name}: {figure.accuracy:.1%} of {figure.total}")
    return figures


def wrong(judge: Judge, labelled: Sequence[Labelled]) -> list[str]:
    """The texts that the model gets wrong, with what it said."""
    said = judge.label([text for text, _ in labelled])
    pairs = zip(said, labelled, strict=True)
    return [f"{LABELS[label]} not {LABELS[true]}: {text}" for label, (text, true) in pairs if label != true]
