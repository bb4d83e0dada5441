"""A text with its names: marked while it is written, then parted into the text and its spans."""

import re
from dataclasses import dataclass

LABELS = ("PERSON", "ORG", "GPE", "DATE", "MONEY")

# Characters for private use: no template and no name holds one.
_OPEN = {label: chr(0xE000 + at) for at, label in enumerate(LABELS)}
_LABEL = {mark: label for label, mark in _OPEN.items()}
_CLOSE = chr(0xE010)
_PART = re.compile(f"([{''.join(_LABEL)}])([^{_CLOSE}]*){_CLOSE}")
# A pattern that finds a marked name, marks and all.
NAMED = f"[{''.join(_LABEL)}][^{_CLOSE}]*{_CLOSE}"
_BY_HAND = re.compile(r"\[([^|\[\]]+)\|(\w+)\]")

Span = tuple[int, int, str]


@dataclass(frozen=True)
class Example:
    """A text and the spans of its names: start and end in characters, label."""

    text: str
    spans: tuple[Span, ...] = ()


def mark(label: str, name: str) -> str:
    """The name with invisible marks around it."""
    return f"{_OPEN[label]}{name}{_CLOSE}"


def named(label: str) -> re.Pattern[str]:
    """Finds the names marked so; the groups are the mark, the name, the end."""
    return re.compile(f"({_OPEN[label]})([^{_CLOSE}]*)({_CLOSE})")


def end_once(text: str) -> str:
    """The text with one full stop where a name that ends with its own ends the sentence."""
    return text.replace(f".{_CLOSE}.", f".{_CLOSE}")


def read_marks(text: str) -> Example:
    """Takes the marks out; raises KeyError for a label that nobody knows."""
    parts: list[str] = []
    spans: list[Span] = []
    at = size = 0
    for found in _PART.finditer(text):
        before = text[at : found.start()]
        start = size + len(before)
        size = start + len(found[2])
        spans.append((start, size, _LABEL[found[1]]))
        parts += [before, found[2]]
        at = found.end()
    return Example("".join([*parts, text[at:]]), tuple(spans))


def read_by_hand(line: str) -> Example:
    """A line of text marked as `[Anna|PERSON]`."""
    return read_marks(_BY_HAND.sub(lambda found: mark(found[2], found[1]), line))
