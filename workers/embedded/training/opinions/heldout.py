"""What training never shows: patterns, topic words, forms of opinion words, whole opinion families."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

from workers.embedded.training.opinions.families import FORMS, by_slot, held_out_forms, new_roots, rows

KINDS = ("plain", "idiom", "negation", "mixed", "neutral", "undecided")
# Idioms mean what they mean only to those who met them: none is held out.
_HOLDABLE = {"plain": 5, "negation": 5, "mixed": 5, "neutral": 6, "undecided": 6}
TOPIC_SLOTS = ("thing", "staff", "person", "city", "company", "object", "event", "shade", "field")
_TOPIC_SHARE = 7
_WORD = re.compile(r"[\w']+")


@dataclass(frozen=True)
class Line:
    """A pattern: its kind, the signs that it may have, its template."""

    kind: str
    signs: str
    text: str

    @property
    def is_held_out(self) -> bool:
        """Decided by the text itself, so that the split survives new lines."""
        share = _HOLDABLE.get(self.kind)
        return share is not None and crc32(self.text.encode()) % share == 0


def _lines() -> list[Line]:
    found, kind = [], ""
    for row in rows("patterns"):
        if row.startswith("["):
            head = row.strip("[]")
            if head in KINDS:
                kind = head
                continue
        signs, text = (row[0], row[2:]) if row[:2] in ("+ ", "- ") else ("+-", row)
        found.append(Line(kind, signs, text))
    return found


def words_of(text: str) -> set[str]:
    """The lower-case words of a text; slots count as nothing."""
    return set(_WORD.findall(re.sub(r"\{[^}]*\}", " ", text.lower())))


def _slots() -> tuple[dict[str, list[list[str]]], dict[str, list[str]]]:
    topics: dict[str, list[list[str]]] = {}
    small: dict[str, list[str]] = {}
    for row in rows("topics"):
        name, _, cells = row.partition(": ")
        values = [cell.strip() for cell in cells.split("|")]
        if name in TOPIC_SLOTS:
            topics.setdefault(name, []).append(values)
        else:
            small[name] = values
    return topics, small


LINES = _lines()
TOPICS, SMALL = _slots()
# Words of patterns and small words: everywhere, so never held out.
_SPOKEN = {word for line in LINES for word in words_of(line.text)} | {
    word for values in SMALL.values() for value in values for word in words_of(value)
}
_TOPIC_WORDS = {
    word for fields in TOPICS.values() for field in fields for value in field for word in words_of(value)
}
_ALL_FORMS = {word for form in FORMS for word in words_of(form.word)}

HELD_TOPIC_WORDS = {
    word for word in _TOPIC_WORDS - _SPOKEN - _ALL_FORMS if crc32(word.encode()) % _TOPIC_SHARE == 0
}
HELD_FORMS = held_out_forms(_SPOKEN | _TOPIC_WORDS)
NEW_ROOTS = new_roots()
TAUGHT = {form.word for form in FORMS} - HELD_FORMS - NEW_ROOTS


def is_held_topic(value: str) -> bool:
    """Whether a topic holds a held-out word."""
    return bool(words_of(value) & HELD_TOPIC_WORDS)


def topics(held_out: bool) -> dict[str, list[list[str]]]:
    """Each slot's fields with only the held-out, or only the taught, topics; empty fields dropped."""
    kept = {
        name: [[v for v in field if is_held_topic(v) == held_out] for field in fields]
        for name, fields in TOPICS.items()
    }
    return {name: [field for field in fields if field] for name, fields in kept.items()}


def lines(held_out: bool) -> dict[str, list[Line]]:
    """Patterns by kind; idioms are in both halves."""
    return {
        kind: [
            line for line in LINES if line.kind == kind and (kind == "idiom" or line.is_held_out == held_out)
        ]
        for kind in KINDS
    }


TAUGHT_WORDS = by_slot(TAUGHT)
HELD_WORDS = by_slot(HELD_FORMS)
NEW_WORDS = by_slot(NEW_ROOTS)


def leaks(said: Iterable[str]) -> set[str]:
    """Held-out words that occur in these texts, as words of their own."""
    kept_back = HELD_TOPIC_WORDS | HELD_FORMS | {word for word in NEW_ROOTS if " " not in word}
    return {word for text in said for word in words_of(text) & kept_back}
