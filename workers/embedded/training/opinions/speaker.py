"""Fills patterns: one clause with a sign, from the taught or from the held-out words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from workers.embedded.training.opinions.heldout import (
    HELD_WORDS,
    NEW_WORDS,
    SMALL,
    TAUGHT_WORDS,
    Line,
    leaks,
    lines,
    topics,
)

OTHER = {"+": "-", "-": "+", "0": "0"}
_ANY = re.compile("")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(-?)(\w+)\}")
# Slots of a pattern that take opinion words, and the words' own slots.
_OPINION = {"i_s": "is", "i_p": "ip"} | {slot: slot for slot in (*"acfnmdrslp", "ls", "lp", "ps", "pp")}
# A clause within another one has a subject and a verb of its own.
_WHOLE = re.compile(
    r"^(the|this|it|I|we|our|your|my|they|everything|everyone|nothing|nobody|not one|none|there|customers"
    r"|critics|readers|fans|\{who\}|\{my\}|\{company\}|\[(it|I|we|this))(?!\w)[^?]*$"
)
Words = Mapping[tuple[str, str], list[str]]


_TAUGHT_TOPICS = [
    word for fields in topics(False).values() for field in fields for word in field if word.isalpha()
]


def invented(dice: Random) -> str:
    """A word that nobody knows, the head of one topic and the tail of another: unknown words mean nothing."""
    while True:
        head, tail = (dice.choice(_TAUGHT_TOPICS) for _ in "ab")
        word = head[: dice.randint(2, 4)] + tail[dice.randint(1, 3) :]
        if not leaks([word]):
            return word


@dataclass(frozen=True)
class Source:
    """Where patterns, topics and opinion words come from; `strict` uses no line that lacks such words."""

    lines: Mapping[str, list[Line]]
    topics: Mapping[str, list[list[str]]]
    words: Words
    invent: float = 0.0
    strict: bool = False


TAUGHT = Source(lines(False), topics(False), TAUGHT_WORDS, invent=0.12)
NEW_PATTERNS = Source(lines(True), topics(True), TAUGHT_WORDS)
NEW_FORMS = Source(lines(True), topics(True), HELD_WORDS, strict=True)
NEW_FAMILIES = Source(lines(True), topics(True), NEW_WORDS, strict=True)


class Speaker:
    """Draws clauses; a text keeps to one field of things most of the time."""

    def __init__(self, dice: Random, source: Source) -> None:
        self._dice = dice
        self._source = source
        self.turn()

    def turn(self) -> None:
        """A new text begins: another field."""
        self._field = self._dice.choice(self._source.topics["thing"])

    def clause(self, kind: str, sign: str, shape: re.Pattern[str] = _ANY) -> str:
        """A clause of this kind, sign (`+`, `-`, `0`) and shape, in lower case, without an end."""
        fit = self._source.lines[kind]
        while True:
            line = self._dice.choice(fit)
            if (sign in line.signs or sign == "0") and shape.match(line.text) and self._has_words(line, sign):
                return self._fill(line.text, sign)

    def _has_words(self, line: Line, sign: str) -> bool:
        if not self._source.strict:
            return True
        slots = [
            (_OPINION[name], OTHER[sign] if flip else sign)
            for flip, name in _SLOT.findall(line.text)
            if name in _OPINION
        ]
        nested = "clause}" in line.text
        return (bool(slots) or nested) and all(self._source.words.get(slot) for slot in slots)

    def _fill(self, text: str, sign: str) -> str:
        if sign == "0":
            sign = self._dice.choice("+-")
        while "[" in text or "{" in text:
            text = _CHOICE.sub(lambda match: self._dice.choice(match[1].split("|")), text)
            text = _SLOT.sub(lambda match: self._slot(match[2], OTHER[sign] if match[1] else sign), text)
        return text

    def _slot(self, name: str, sign: str) -> str:
        if name in _OPINION:
            return self._dice.choice(self._source.words[_OPINION[name], sign])
        if name == "clause":
            kind = self._dice.choices(("plain", "idiom", "negation"), (6, 0 if self._source.strict else 3, 2))
            return self.clause(kind[0], sign, _WHOLE)
        if name == "things":
            return plural(self._topic(self._dice.choice(("thing", "object", "object"))))
        if name in self._source.topics:
            return self._topic(name)
        return self._dice.choice(SMALL[name] if name in SMALL else SMALL[name + sign])

    def _topic(self, name: str) -> str:
        if self._dice.random() < self._source.invent:
            return invented(self._dice)
        if name == "thing" and self._dice.random() < 0.7:
            return self._dice.choice(self._field)
        fields = self._source.topics[name]
        return self._dice.choice(self._dice.choice(fields))


def plural(word: str) -> str:
    """box → boxes, city → cities, table → tables; a plural stays."""
    if re.search(r"(x|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word if word.endswith("s") else word + "s"
