"""Strangers in place of names that training knows, so that the words around them must tell what they are."""

import re
from functools import partial
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
# So many words of a name, from the first, give way: a company keeps the one that says what it does.
_REPLACED = {"PERSON": 2, "GPE": 2, "ORG": 1}


def rename(dice: Random, marked: str) -> str:
    """The marked text with strangers for its people, places and organisations of one or two words.

    Beginnings and ends of names are features of the model, and it learned those of the listed names
    by heart: "Speaking in Nova Scotia" named a person. The same word gives way to the same stranger.
    """
    strangers = _Strangers(dice)
    for label, most in _REPLACED.items():
        marked = named(label).sub(partial(_replace, strangers, most), marked)
    return marked


def _replace(strangers: dict[str, str], most: int, found: re.Match[str]) -> str:
    opening, name, closing = found.groups()
    if not _TITLED.fullmatch(name):
        return found[0]
    words = name.split()
    return opening + " ".join([*(strangers[word] for word in words[:most]), *words[most:]]) + closing


class _Strangers(dict[str, str]):
    """The stranger for each word that was met."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def __missing__(self, word: str) -> str:
        self[word] = _stranger(self._dice)
        return self[word]


def _stranger(dice: Random) -> str:
    while True:
        word = (invent(dice, dice.choice((1, 2))) + dice.choice(_ENDS)).capitalize()
        if not is_held_out(word):
            return word
