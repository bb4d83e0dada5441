"""A tiny template language: `[a|b]` chooses, `{slot}` fills in, `a(n)` picks its article.

Every choice comes from one seeded generator, so the same seed writes the same text.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random

Slots = Mapping[str, str | Sequence[str]]

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([aA])\(n\) (?=(\w))")
# After `."` a new sentence begins; after `?"` and `!"` mostly the one who said it.
_START = re.compile(r"(^|\n|[.!?] |\.\" )(\"?)([a-z])")
_GAP = re.compile(r" {2,}")
_SENTENCE = re.compile(r"(?<=[.!?])\"?\s+")


def expand(dice: Random, text: str, slots: Slots | None = None) -> str:
    """The template with every choice made and every slot filled.

    A slot may hold several wordings, one is drawn each time; `{Slot}` is `{slot}` with a capital.
    Raises KeyError for a slot that nobody filled.
    """
    filled = slots or {}
    while "[" in text or "{" in text:
        text = _CHOICE.sub(lambda match: dice.choice(match[1].split("|")), text)
        text = _SLOT.sub(lambda match: _fill(dice, match[1], filled), text)
    return text


def _fill(dice: Random, name: str, slots: Slots) -> str:
    value = slots[name if name in slots else name[0].lower() + name[1:]]
    chosen = value if isinstance(value, str) else dice.choice(value)
    return chosen[0].upper() + chosen[1:] if name[0].isupper() else chosen


def polish(text: str) -> str:
    """Articles agreed with the word that follows, sentences begun with a capital."""
    # A choice of nothing, as in `[a|]`, leaves its two spaces behind.
    text = _ARTICLE.sub(_article, _GAP.sub(" ", text).replace(" \n", "\n"))
    return _START.sub(lambda match: match[1] + match[2] + match[3].upper(), text.strip())


def _article(match: re.Match[str]) -> str:
    return match[1] + ("n " if match[2].lower() in "aeiou" else " ")


def write(dice: Random, text: str, slots: Slots | None = None) -> str:
    """A finished piece of text: expanded and polished."""
    return polish(expand(dice, text, slots))


def sentences(text: str) -> list[str]:
    """The sentences of a text, stripped, in order."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def repeats_a_sentence(text: str) -> bool:
    """Whether a sentence of three words or more stands in the text twice."""
    long = [part.lower() for part in sentences(text) if len(part.split()) >= 3]
    return len(long) != len(set(long))
