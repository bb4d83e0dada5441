"""Exercises in carrying words over: repeating rows of words, and reading little facts.

Stories alone teach the phrases long before they teach that the lantern of the prompt is the lantern
of the last line; here almost every token of an answer has to be looked up.
"""

from random import Random

from workers.embedded.training.grammar import polish
from workers.embedded.training.heldout import is_held_out
from workers.embedded.training.texts import read_wordings
from workers.embedded.training.words import (
    ANIMALS,
    FAMILY,
    NAMES,
    PEOPLE,
    PLACES,
    THING_ADJECTIVES,
    TRAITS,
    WANDERERS,
)

Asked = tuple[str, str]

_WORDINGS = read_wordings("drills")
_BEINGS = (*ANIMALS, *WANDERERS, *PEOPLE)
_NAMES = (*NAMES["he"], *NAMES["she"])
_WORDS = (*_BEINGS, *FAMILY, *PLACES, *_NAMES, *THING_ADJECTIVES, *TRAITS)


def draw_drill(dice: Random) -> Asked:
    """A request and an answer whose words stand in the request."""
    return dice.choice((_repeat, _facts, _facts, _retell))(dice)


def _may_meet(beings: list[str], things: list[str]) -> bool:
    return not any(is_held_out(being, thing) for being in beings for thing in things)


def _repeat(dice: Random) -> Asked:
    while True:
        words = dice.sample(_WORDS, dice.randint(2, 12))
        if _may_meet([w for w in words if w in _BEINGS], [w for w in words if w in FAMILY]):
            break
    row = dice.choice((" ", " ", ", ")).join(words)
    return dice.choice(_WORDINGS["repeat"]).replace("{row}", row), row


def _entries(dice: Random, count: int) -> list[dict[str, str]]:
    """Beings that differ in everything, each with a name, a thing, its look and a place."""
    while True:
        kinds, things = dice.sample(_BEINGS, count), dice.sample(tuple(FAMILY), count)
        if _may_meet(kinds, things):
            break
    names, looks = dice.sample(_NAMES, count), dice.sample(THING_ADJECTIVES, count)
    places = [PLACES[place][0] for place in dice.sample(tuple(PLACES), count)]
    rows = zip(names, kinds, things, looks, places, strict=True)
    return [dict(zip(("name", "kind", "thing", "look", "place"), row, strict=True)) for row in rows]


def _said(text: str, entry: dict[str, str]) -> str:
    for key, value in entry.items():
        text = text.replace("{" + key + "}", value)
    return text


def _facts(dice: Random) -> Asked:
    entries = _entries(dice, dice.choice((1, 2, 2, 3)))
    told = [_said(dice.choice(_WORDINGS["fact"]), entry) for entry in entries]
    ask, answer = dice.choice(_WORDINGS["question"]).split(" = ")
    wanted = dice.choice(entries)
    return polish(f"{' '.join(told)} {_said(ask, wanted)}"), polish(_said(answer, wanted))


def _retell(dice: Random) -> Asked:
    entry = _entries(dice, 1)[0]
    lines = dice.sample(_WORDINGS["line"], dice.randint(3, 7))
    ask = dice.choice(_WORDINGS["retell"])
    return polish(_said(ask, entry)), polish(_said(" ".join(lines), entry))
