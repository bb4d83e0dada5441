"""The cast of a story: a hero, a friend, a thing and a place, drawn from the little world."""

from dataclasses import dataclass, field
from random import Random

from workers.embedded.training.heldout import is_held_out
from workers.embedded.training.plots import FAMILIES
from workers.embedded.training.words import (
    ANIMALS,
    FAMILY,
    FIXED_PRONOUN,
    HERO_ADJECTIVES,
    NAMES,
    PEOPLE,
    PLACES,
    THING_ADJECTIVES,
    TIMES,
    TRAITS,
    WANDERERS,
)


@dataclass(frozen=True)
class Being:
    """Someone in a story: a kind, a name or none, and the pronoun that stays theirs."""

    kind: str
    name: str | None
    pronoun: str
    adjective: str

    @property
    def intro(self) -> str:
        """The first mention."""
        named = f" named {self.name}" if self.name else ""
        return f"a(n) {self.adjective} {self.kind}{named}".replace("  ", " ")

    @property
    def mentions(self) -> list[str]:
        """The wordings of every later mention."""
        return [self.name, self.name, f"the {self.kind}"] if self.name else [f"the {self.kind}"]


@dataclass(frozen=True)
class Cast:
    """Who and what a story is about; drawn whole, so that follow-up questions have answers."""

    hero: Being
    friend: Being
    thing: str
    adjective: str
    place: str
    slots: dict[str, str | list[str]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Wish:
    """What a prompt asked of a story; None leaves the choice to the teller."""

    kind: str | None = None
    thing: str | None = None
    place: str | None = None
    name: str | None = None


def draw_being(dice: Random, kind: str, name: str | None, named: float) -> Being:
    """A being of this kind, with a name for a share of them."""
    pronoun = FIXED_PRONOUN.get(kind, dice.choice(("he", "she")))
    if name is not None:
        pronoun = "he" if name in NAMES["he"] else "she"
    elif dice.random() < named:
        name = dice.choice(NAMES[pronoun])
    adjective = dice.choice(HERO_ADJECTIVES) if dice.random() < 0.75 else ""
    return Being(kind, name, pronoun, adjective)


def draw_kind(dice: Random) -> str:
    """An animal of the world, or one time in four a wanderer, or one in four a person."""
    return dice.choice(dice.choice((tuple(ANIMALS), tuple(ANIMALS), WANDERERS, PEOPLE)))


def draw_pair(dice: Random, wish: Wish) -> tuple[str, str]:
    """A kind and a thing that may meet in the training text, unless the wish names both."""
    if wish.kind and wish.thing:
        return wish.kind, wish.thing
    while True:
        kind, thing = wish.kind or draw_kind(dice), wish.thing or dice.choice(tuple(FAMILY))
        if not is_held_out(kind, thing):
            return kind, thing


def draw_cast(dice: Random, wish: Wish | None = None) -> Cast:
    """A cast that grants the wish; the friend never makes a held-out pair either."""
    wish = wish or Wish()
    kind, thing = draw_pair(dice, wish)
    friend_kind = draw_kind(dice)
    while friend_kind == kind or is_held_out(friend_kind, thing):
        friend_kind = draw_kind(dice)
    hero = draw_being(dice, kind, wish.name, 0.85)
    friend = draw_being(dice, friend_kind, None, 0.5)
    while friend.name is not None and friend.name == hero.name:
        friend = draw_being(dice, friend_kind, None, 0.5)
    place = wish.place or dice.choice(tuple(PLACES))
    cast = Cast(hero, friend, thing, dice.choice(THING_ADJECTIVES), place)
    cast.slots.update(slots_of(dice, cast))
    return cast


def _pronouns(prefix: str, pronoun: str) -> dict[str, str]:
    him, his = ("him", "his") if pronoun == "he" else ("her", "her")
    return {
        f"{prefix}he": pronoun,
        f"{prefix}him": him,
        f"{prefix}his": his,
        f"{prefix}himself": f"{him}self",
    }


def slots_of(dice: Random, cast: Cast) -> dict[str, str | list[str]]:
    """What the templates of a story call its cast, and the choices that hold for the whole story."""
    inplace, features = PLACES[cast.place]
    first, second = dice.sample(features, 2)
    trait, trait2 = dice.sample(TRAITS, 2)
    family = FAMILIES[FAMILY[cast.thing]]
    return {
        **_pronouns("", cast.hero.pronoun),
        **_pronouns("f", cast.friend.pronoun),
        "hero": cast.hero.mentions,
        "ahero": cast.hero.intro,
        "kind": cast.hero.kind,
        "friend": cast.friend.mentions,
        "afriend": cast.friend.intro,
        "thing": cast.thing,
        "athing": f"a(n) {cast.adjective} {cast.thing}",
        "tadj": cast.adjective,
        "place": f"the {cast.place}",
        "inplace": inplace,
        "f1": first,
        "f2": second,
        "trait": trait,
        "trait2": trait2,
        "tod": dice.choice(TIMES),
        "habit": dice.choice(family.habits),
        "trouble": dice.choice(family.troubles),
        "help": dice.choice(family.helps),
    }
