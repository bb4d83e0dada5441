"""Writes sentences from the grammars: slots that are names come out marked, the others are words."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from random import Random

from workers.embedded.training.grammar import expand, polish
from workers.embedded.training.mentions import dates, numbers
from workers.embedded.training.mentions.heldout import is_held_out
from workers.embedded.training.mentions.lists import read_lines, read_lists
from workers.embedded.training.mentions.marks import end_once, mark
from workers.embedded.training.mentions.names import Names, invent

_COMMON, _ORGS = read_lists("common"), read_lists("orgs")
_NAMELESS = ("product", "event", "nature", "nationality", "acronym")
_FAKE_ENDS = ("", "er", "ment", "ness", "tion", "le", "y")
_NUMBERS = {
    "n": numbers.draw_number,
    "n2": numbers.draw_age,
    "grouped": numbers.draw_grouped,
    "code": numbers.draw_code,
    "phone": numbers.draw_phone,
}
# A choice of nothing before a full stop leaves its space.
_LOOSE = re.compile(r" +([.,;])")


class Writer(Mapping[str, str]):
    """The slots of the grammars: each look-up draws anew. `{Slot}` begins with a capital."""

    def __init__(self, dice: Random, names: Names, grammars: tuple[str, ...]) -> None:
        self._dice = dice
        self._names = names
        self._rules = {key: lines for name in grammars for key, lines in read_lines(name).items()}
        self._slots = {**self._marked(names), **self._plain()}

    def sentence(self, section: str) -> str:
        """A marked text that begins with one of the section's lines."""
        text = expand(self._dice, self._dice.choice(self._rules[section]), self)
        if section == "raw":
            return text.replace("a(n) ", "a ")
        return end_once(_LOOSE.sub(r"\1", polish(text)))

    def __getitem__(self, slot: str) -> str:
        if slot in self._rules:
            return self._dice.choice(self._rules[slot])
        key = slot.lower()
        if key in self._rules:
            return self._dice.choice(self._rules[key])
        text = self._slots[key]()
        return self._dressed(slot, text)

    def _dressed(self, slot: str, text: str) -> str:
        if slot.isupper():
            return text.upper()
        if not slot[0].isupper():
            return text
        # The name of a date begins behind its mark.
        at = 1 if _is_marked(slot) else 0
        return text[:at] + text[at].upper() + text[at + 1 :]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._rules, **self._slots})

    def __len__(self) -> int:
        return len(self._rules) + len(self._slots)

    def __contains__(self, slot: object) -> bool:
        return isinstance(slot, str) and (slot in self._rules or slot.lower() in {*self._rules, *self._slots})

    def _marked(self, names: Names) -> dict[str, Callable[[], str]]:
        return {
            "person": lambda: mark("PERSON", names.person()),
            "first": lambda: mark("PERSON", names.first()),
            "last": lambda: mark("PERSON", names.last()),
            "name": lambda: mark("PERSON", f"{names.first()} {names.last()}"),
            "org": lambda: mark("ORG", names.org()),
            "gpe": lambda: mark("GPE", names.gpe()),
            "party": lambda: self._dice.choice(("{person}", "{org}")),
            "day": lambda: mark("DATE", names.date(dates.draw_day)),
            "year": lambda: mark("DATE", names.date(dates.draw_time)),
            "yearnum": lambda: mark("DATE", names.date(dates.draw_year)),
            "when": lambda: mark("DATE", names.date(dates.draw_when)),
            "date": lambda: self._dice.choice(("{Day}", "{When}", "{Year}")),
            "money": lambda: mark("MONEY", names.money()),
        }

    def _plain(self) -> dict[str, Callable[[], str]]:
        listed = {**_COMMON, **{key: _ORGS[key] for key in _NAMELESS}}
        drawn = {key: self._drawn(entries) for key, entries in listed.items()}
        return drawn | {slot: partial(draw, self._dice) for slot, draw in _NUMBERS.items()} | self._made_up()

    def _drawn(self, entries: tuple[str, ...]) -> Callable[[], str]:
        return lambda: self._dice.choice(entries)

    def _made_up(self) -> dict[str, Callable[[], str]]:
        dice = self._dice
        return {
            "fake": partial(_new_word, dice, _FAKE_ENDS),
            "fakely": partial(_new_word, dice, ("ly",)),
            "faking": partial(_new_word, dice, ("ing",)),
            "adverb": lambda: dice.choice(_COMMON["adjective"]) + "ly",
        }


def _new_word(dice: Random, ends: tuple[str, ...]) -> str:
    """A word that nobody knows; at a sentence's beginning, too, it is no name that is held out."""
    while is_held_out((word := invent(dice, 2) + dice.choice(ends)).capitalize()):
        pass
    return word


def _is_marked(slot: str) -> bool:
    """Whether what fills the slot begins with a mark."""
    return slot.lower() in ("day", "year", "when", "person", "first", "last", "org", "gpe", "money")
