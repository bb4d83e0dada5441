"""Strangers in place of names that training knows, so that the words around them must tell what they are."""

import re
from collections.abc import Callable
from random import Random

from workers.embedded.training.mentions.heldout import is_held_out
from workers.embedded.training.mentions.lists import read_lists
from workers.embedded.training.mentions.marks import named
from workers.embedded.training.mentions.names import invent

# The same ends for all labels: how a stranger begins and ends says nothing of what it is.
_ENDS = (
    "",
    *read_lists("people")["surname end"],
    *read_lists("places")["end"],
    *read_lists("orgs")["end"],
)
_TITLED = re.compile(r"[A-Z][^\W\d_]+(?: [A-Z][^\W\d_]+)?")


def rename(dice: Random, marked: str) -> str:
    """The marked text with strangers for its people, places and organisations of one or two words.

    Beginnings and ends of names are features of the model, and it learned those of the listed names
    by heart: "Speaking in Nova Scotia" named a person.
    """

    for label, renew in (("PERSON", _all_new), ("GPE", _all_new), ("ORG", _first_new)):
        marked = _sub(dice, label, renew, marked)
    return marked


def _sub(dice: Random, label: str, renew: Callable[[Random, list[str]], list[str]], marked: str) -> str:
    def replace(found: re.Match[str]) -> str:
        opening, name, closing = found.groups()
        if not _TITLED.fullmatch(name):
            return found[0]
        return opening + " ".join(renew(dice, name.split())) + closing

    return named(label).sub(replace, marked)


def _all_new(dice: Random, words: list[str]) -> list[str]:
    return [_stranger(dice) for _ in words]


def _first_new(dice: Random, words: list[str]) -> list[str]:
    """A company keeps the word that says what it does."""
    return [_stranger(dice), *words[1:]]


def _stranger(dice: Random) -> str:
    while True:
        word = (invent(dice, dice.choice((1, 2))) + dice.choice(_ENDS)).capitalize()
        if not is_held_out(word):
            return word
