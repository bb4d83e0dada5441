"""What the training text never shows, and the check that it does not."""

import re
from collections.abc import Iterable
from functools import cache
from zlib import crc32

from workers.embedded.training.mentions import dates
from workers.embedded.training.mentions.lists import read, read_lists
from workers.embedded.training.mentions.marks import Example

# One name in so many is kept back.
SHARE = 5
# So many words in a row, the same in a template of both grammars, make them the same template.
TEMPLATE_WORDS = 5

_WORD = re.compile(r"[^\W_]+(?:[.'&-][^\W_]+)*")
_SLOTS = re.compile(r"\{\w+\}|\[[^\[\]]*\]")
LISTS = {"people": ("first", "last"), "places": ("country", "city", "start"), "orgs": ("other", "start")}


def words(text: str) -> list[str]:
    """The words of a text, with their case and without a possessive's end."""
    return [word.removesuffix("'s") for word in _WORD.findall(text)]


@cache
def is_held_out(name: str) -> bool:
    """Whether a name, a date or a sum is only for the measure."""
    return crc32(f"kept back: {name}".encode()) % SHARE == 0 and name not in _always_shown()


@cache
def _always_shown() -> frozenset[str]:
    """Words that the training text needs: of known and of longer names, of templates, of the language."""
    texts = [read(name) for name in ("train", "plain", "common")]
    texts += [" ".join(read_lists("people")["famous"]), " ".join(read_lists("places")["known"])]
    orgs = read_lists("orgs")
    texts += [" ".join(entries) for key, entries in orgs.items() if key not in ("other", "start")]
    texts += [entry for entry in _listed() if words(entry) != [entry]]
    texts += [*dates.DAYS, *dates.MONTHS, *dates.SHORT]
    shown = {word for text in texts for word in words(text)}
    return frozenset(shown | {word.capitalize() for word in shown})


def held_out_words() -> frozenset[str]:
    """The names of one word that are kept back; the training text has none of them, anywhere."""
    return frozenset(entry for entry in _listed() if is_held_out(entry) and words(entry) == [entry])


def _listed() -> list[str]:
    return [entry for file, keys in LISTS.items() for key in keys for entry in read_lists(file)[key]]


class Kept:
    """What a measure keeps back from the training text."""

    def __init__(self, measured: Iterable[Example]) -> None:
        self.names = frozenset(one.text[start:end] for one in measured for start, end, _ in one.spans)
        self.words = held_out_words() | {name for name in self.names if words(name) == [name]}

    def shown_by(self, training: Iterable[Example]) -> set[str]:
        """Kept names that stand in a training text too; empty when all is well."""
        found: set[str] = set()
        for one in training:
            found |= self.words.intersection(words(one.text))
            found |= self.names.intersection(one.text[start:end] for start, end, _ in one.spans)
        return found


def shared_templates(training: Iterable[str], measured: Iterable[str]) -> set[tuple[str, ...]]:
    """Runs of five words that stand in templates of both grammars."""
    return _runs(training) & _runs(measured)


def _runs(templates: Iterable[str]) -> set[tuple[str, ...]]:
    return {run for template in templates for part in _SLOTS.split(template) for run in _windows(part)}


def _windows(text: str) -> list[tuple[str, ...]]:
    row = [word.lower() for word in words(text)]
    return [tuple(row[at : at + TEMPLATE_WORDS]) for at in range(len(row) - TEMPLATE_WORDS + 1)]
