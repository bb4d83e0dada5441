"""What the trained model can do, measured on sentences that the training never contained."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from workers.embedded.training.seq2seq import load, respond
from workers.embedded.training.translation.corpus import Kind, held_out
from workers.embedded.training.translation.sentences import Sentence

SEED, SIZE = 424_242, 500
# At least this similarity of characters is near-exact: one wrong ending in a sentence of ten words.
NEAR = 0.95

SAMPLES = (
    "The weather is nice today.",
    "I love this product.",
    "Anna lives in Berlin.",
    "The company opened a new office in Berlin on Monday.",
    "Yesterday, my brother bought a red car.",
    "Do you know if the train arrives at 8:30?",
    "I cannot find my keys.",
    "She gets up at seven o'clock and drinks coffee in the kitchen.",
    "Zorvalin Quibb has never been in Munich.",
    "Quantum mechanics describes the behavior of particles.",
)


@dataclass(frozen=True)
class Scores:
    """Over one set of sentences, 0 to 1: exactly right, near-exact, mean similarity, words right."""

    size: int
    exact: float
    near: float
    similarity: float


@dataclass(frozen=True)
class Evaluation:
    """All that the model card tells."""

    by_kind: dict[str, Scores]
    by_pattern: dict[str, Scores]
    names_copied: float
    samples: list[tuple[str, str]]
    mistakes: list[tuple[str, str, str]]


def similarity(said: str, reference: str) -> float:
    """2 M / T of difflib over characters: 1 is equal."""
    return SequenceMatcher(None, said, reference, autojunk=False).ratio()


def scores(said: Sequence[str], wanted: Sequence[str]) -> Scores:
    """The shares over these translations."""
    alike = [similarity(one, two) for one, two in zip(said, wanted, strict=True)]
    size = len(alike)
    return Scores(
        size,
        sum(one == 1.0 for one in alike) / size,
        sum(one >= NEAR for one in alike) / size,
        sum(alike) / size,
    )


def _names(sentence: Sentence) -> set[str]:
    """The words with a capital inside the English sentence that the German has, too."""
    inner = set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", sentence.en)) - {"I"}
    return {name for name in inner if re.search(rf"\b{name}\b", sentence.de)}


def _copied(sentences: Sequence[Sentence], said: Sequence[str]) -> float:
    found = [name in german for one, german in zip(sentences, said, strict=True) for name in _names(one)]
    return sum(found) / len(found)


def evaluate(folder: Path, log: Callable[[str], None] = print, size: int = SIZE) -> Evaluation:
    """Measures the model in this folder; about two minutes on one thread."""
    model, tokenizer = load(folder)
    kinds: tuple[Kind, ...] = ("seen", "pair", "strict")
    by_kind: dict[str, Scores] = {}
    everything: list[tuple[Sentence, str]] = []
    for kind in kinds:
        sentences = held_out(SEED, kind, size)
        said = respond(model, tokenizer, [one.en for one in sentences])
        by_kind[kind] = scores(said, [one.de for one in sentences])
        log(f"{kind}: {by_kind[kind]}")
        everything += zip(sentences, said, strict=True)
    samples = list(zip(SAMPLES, respond(model, tokenizer, SAMPLES), strict=True))
    wrong = [(one.en, german, one.de) for one, german in everything if german != one.de]
    copied = _copied([one for one, _ in everything], [german for _, german in everything])
    return Evaluation(
        by_kind, _by_pattern(everything), copied, samples, wrong[:: max(1, len(wrong) // 6)][:6]
    )


def _by_pattern(everything: list[tuple[Sentence, str]]) -> dict[str, Scores]:
    groups: dict[str, list[tuple[Sentence, str]]] = {}
    for one, german in everything:
        groups.setdefault(one.pattern, []).append((one, german))
    return {
        pattern: scores([german for _, german in rows], [one.de for one, _ in rows])
        for pattern, rows in sorted(groups.items())
    }
