"""Short rhymed poems and descriptions of things, beings, places and weather."""

from random import Random

from workers.embedded.training.grammar import Slots, write
from workers.embedded.training.texts import parted, read_wordings
from workers.embedded.training.words import ANIMALS, FAMILY, PLACES, THING_ADJECTIVES

_WORDINGS = read_wordings("wordings")
# A poem takes two or three pairs of lines, so that the rhymes always meet.
_COUPLETS = parted(_WORDINGS["couplet"], " / ")


def draw_poem(dice: Random, topic: str | None = None) -> tuple[str, str]:
    """A request for a poem and a poem of four or six lines that names the topic in each couplet."""
    if topic is None:
        options = (
            dice.choice(_WORDINGS["nature"]),
            f"a(n) {dice.choice(tuple(ANIMALS))}",
            f"a(n) {dice.choice(tuple(FAMILY))}",
        )
        topic = dice.choice(options)
    # "A lantern" is asked for, "the lantern" is sung of.
    sung = topic.replace("a(n) ", "the ") if dice.random() < 0.8 else topic
    couplets = dice.sample(_COUPLETS, dice.choice((2, 2, 2, 3)))
    poem = "\n".join(line for couplet in couplets for line in couplet)
    return write(dice, dice.choice(_WORDINGS["poem ask"]), {"topic": topic}), write(
        dice, poem, {"topic": sung}
    )


def draw_description(dice: Random) -> tuple[str, str]:
    """A request to describe something of the little world, and the description."""
    return dice.choice((_animal, _thing, _place))(dice)


def _described(dice: Random, what: str, slots: Slots) -> tuple[str, str]:
    ask, text = _WORDINGS["describe ask"], _WORDINGS[f"{what} text"]
    return write(dice, dice.choice(ask), slots), write(dice, dice.choice(text), slots)


def _animal(dice: Random) -> tuple[str, str]:
    kind = ANIMALS[dice.choice(tuple(ANIMALS))]
    slots = {
        "kind": kind.name,
        "plural": kind.plural,
        "colour": kind.colour,
        "home": kind.home,
        "food": kind.food,
        "topic": f"[a(n)|the] {kind.name}",
    }
    return _described(dice, "animal", slots)


def _thing(dice: Random) -> tuple[str, str]:
    thing = dice.choice(tuple(FAMILY))
    first, second = dice.sample(THING_ADJECTIVES, 2)
    slots = {
        "thing": thing,
        "use": _WORDINGS[f"use {FAMILY[thing]}"][0],
        "adj": first,
        "adj2": second,
        "topic": f"a(n) {thing}",
    }
    return _described(dice, "thing", slots)


def _place(dice: Random) -> tuple[str, str]:
    place = dice.choice(tuple(PLACES))
    inplace, features = PLACES[place]
    first, second = dice.sample(features, 2)
    slots = {"inplace": inplace, "f1": first, "f2": second, "topic": f"the {place}"}
    return _described(dice, "place", slots)
