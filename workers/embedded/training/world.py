"""Everyday knowledge of the little world: animals, colours, days, seasons, opposites."""

from collections.abc import Sequence
from random import Random

from workers.embedded.training.grammar import Slots, write
from workers.embedded.training.texts import parted, read_wordings
from workers.embedded.training.words import ANIMALS, Kind

_WORLD = read_wordings("world")
_COLOURS, _LEGS = parted(_WORLD["colour"]), parted(_WORLD["legs"])
_OPPOSITES = [pair.split("-") for pair in _WORLD["opposites"][0].split()]
_DAYS, _MONTHS = _WORLD["days"][0].split(), _WORLD["months"][0].split()
_SEASONS = parted(_WORLD["seasons"])

Asked = tuple[str, str]


def draw_world(dice: Random) -> Asked:
    """A question about the little world and its answer."""
    about_animals = (_sound, _food, _home, _animal_colour)
    return dice.choice((*about_animals, _colour, _opposite, _opposite, _legs, _day, _month, _season))(dice)


def _asked(dice: Random, ask: str | Sequence[str], answer: str, slots: Slots) -> Asked:
    question = ask if isinstance(ask, str) else dice.choice(ask)
    return write(dice, question, slots), write(dice, answer, slots)


def _kind(dice: Random) -> tuple[Kind, Slots]:
    kind = ANIMALS[dice.choice(tuple(ANIMALS))]
    return kind, {"kind": kind.name, "plural": kind.plural}


def _sound(dice: Random) -> Asked:
    kind, slots = _kind(dice)
    is_silent = kind.sound == "makes no sound"
    answer = (
        "A(n) {kind} makes no sound that we can hear." if is_silent else f"[A(n)|The] {{kind}} {kind.sound}."
    )
    return _asked(dice, _WORLD["sound ask"], answer, slots)


def _food(dice: Random) -> Asked:
    kind, slots = _kind(dice)
    answer = f"[A(n) {{kind}} eats|{{plural}} eat|{{plural}} like to eat] {kind.food}."
    return _asked(dice, _WORLD["food ask"], answer, slots)


def _home(dice: Random) -> Asked:
    kind, slots = _kind(dice)
    return _asked(dice, _WORLD["home ask"], f"A(n) {{kind}} [lives in|has its home in] {kind.home}.", slots)


def _animal_colour(dice: Random) -> Asked:
    kind, slots = _kind(dice)
    answer = f"A(n) {{kind}} is [usually |often |]{kind.colour}."
    return _asked(dice, _WORLD["animal colour ask"], answer, slots)


def _colour(dice: Random) -> Asked:
    thing, colour = dice.choice(_COLOURS)
    return _asked(dice, _WORLD["colour ask"], "{Thing} is {colour}.", {"thing": thing, "colour": colour})


def _opposite(dice: Random) -> Asked:
    first, second = dice.choice(_OPPOSITES)
    if dice.random() < 0.5 and first != "heavy":
        first, second = second, first
    # "Light" is the opposite of two words; asked alone it means the one of the dark.
    slots = {"first": first, "second": "dark" if first == "light" else second}
    answer = "[The opposite of {first} is {second}.|{Second}.|It is {second}.]"
    return _asked(dice, _WORLD["opposite ask"], answer, slots)


def _legs(dice: Random) -> Asked:
    kind, legs = dice.choice(_LEGS)
    slots = {"kind": kind, "legs": legs}
    return _asked(dice, "How many legs does a(n) {kind} have?", "A(n) {kind} has {legs} legs.", slots)


def _around(names: Sequence[str], at: int) -> dict[str, str]:
    before, after = names[at - 1], names[(at + 1) % len(names)]
    return {"before": before, "after": after, "all": f"{', '.join(names[:-1])} and {names[-1]}"}


def _day(dice: Random) -> Asked:
    at = dice.randrange(7)
    ask, answer = dice.choice(parted(_WORLD["day"]))
    return _asked(dice, ask, answer, {**_around(_DAYS, at), "day": _DAYS[at]})


def _month(dice: Random) -> Asked:
    at = dice.randrange(12)
    row = dice.choice(_WORLD["month"])
    if row == "{time}":
        row = dice.choice(_WORLD["time"])
    ask, answer = row.split(" = ")
    return _asked(dice, ask, answer, {**_around(_MONTHS, at), "month": _MONTHS[at]})


def _season(dice: Random) -> Asked:
    at = dice.randrange(4)
    season, what, month = _SEASONS[at]
    slots = {"season": season, "what": what, "month": month, "after": _SEASONS[(at + 1) % 4][0]}
    ask, answer = dice.choice(parted(_WORLD["season"]))
    return _asked(dice, ask, answer, slots)
