"""The patterns of the little world, how often each comes, and whole sentences drawn from them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from workers.embedded.training.translation.english import contracted
from workers.embedded.training.translation.heldout import RARE_MAY, is_new_pair, is_rare
from workers.embedded.training.translation.joined import and_also, because, shared, that_clause, trying
from workers.embedded.training.translation.plain import (
    Drawn,
    Met,
    please,
    quality_of,
    question,
    statement,
    who,
)
from workers.embedded.training.translation.small import comparison, cost, job, set_phrase, there_is, this_is

PATTERNS: dict[str, tuple[float, Callable[[Random], Drawn]]] = {
    "present": (10, lambda dice: statement(dice, dice.choice(("present", "progressive")))),
    "past": (10, lambda dice: statement(dice, "past")),
    "other tenses": (16, lambda dice: statement(dice, "")),
    "quality": (10, quality_of),
    "question": (9, question),
    "who": (2, who),
    "this is": (4, this_is),
    "there is": (5, there_is),
    "comparison": (4, comparison),
    "that": (6, that_clause),
    "because": (5, because),
    "and": (3, and_also),
    "shared subject": (4, shared),
    "infinitive": (3, trying),
    "request": (4, please),
    "cost": (2, cost),
    "job": (2, job),
    "phrase": (14, set_phrase),
}


_NAMES, _WEIGHTS = list(PATTERNS), [weight for weight, _ in PATTERNS.values()]


@dataclass(frozen=True)
class Sentence:
    """A sentence in both languages, and whether training may see it: new pairs, rare words elsewhere."""

    en: str
    de: str
    pattern: str
    has_new_pair: bool
    is_strict: bool


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _held_back(pattern: str, met: Met) -> tuple[bool, bool]:
    """Whether a pair of words is new, and whether a rare word stands in a pattern that it never has."""
    new = any(is_new_pair(first, second) for first, second in met)
    strict = pattern not in RARE_MAY and any(is_rare(word) for pair in met for word in pair)
    return new, strict


def draw(dice: Random) -> Sentence:
    """Any sentence of the world, kept back from training or not."""
    pattern = dice.choices(_NAMES, _WEIGHTS)[0]
    en, de, met = PATTERNS[pattern][1](dice)
    if dice.random() < 0.3:
        en = contracted(_upper(en))
    new, strict = _held_back(pattern, met)
    return Sentence(_upper(en), _upper(de), pattern, new, strict)
