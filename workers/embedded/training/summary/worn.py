"""Main sentences with some words lost, added or exchanged, so that no single word of a wording decides.

A reader of so few wordings else learns them by heart, and tells nothing of a report in other words.
"""

import re
from collections.abc import Iterator
from random import Random

from workers.embedded.training.summary.extracts import vocabulary

# Slots and choices stay whole: the facts must all be there.
_WHOLE = re.compile(r"(\[[^\]]*\]|\{\w+\}|\s+)")
_SHARE, _LOST, _ADDED, _OTHER = 0.4, 0.05, 0.10, 0.22


def wear(dice: Random, template: str) -> str:
    """The template, in two of five cases with about every fifth of its own words changed."""
    if dice.random() >= _SHARE:
        return template
    parts = (_worn(dice, part) for part in _WHOLE.split(template))
    return "".join(piece for some in parts for piece in some)


def _worn(dice: Random, part: str) -> Iterator[str]:
    if not part.isalpha():
        yield part
        return
    draw = dice.random()
    if draw < _LOST:
        return
    if draw < _ADDED:
        yield f"{_word(dice)} "
    yield part if draw < _ADDED or draw >= _OTHER else _word(dice)


def _word(dice: Random) -> str:
    """Any word that has no sense for the templates."""
    return next(word for word in iter(lambda: dice.choice(vocabulary()), "") if word.isalpha()).lower()
