"""Opinion words by sign and use, read from `texts/lexicon.txt`, and which of them training never shows."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

TEXTS = Path(__file__).parent / "texts"
# One derived form in so many is kept back from training.
_SHARE = 5
_VOWELS = "aeiou"
_DOUBLING = ("flop", "regret", "appal", "enthral", "repel", "stun")


@dataclass(frozen=True)
class Form:
    """A word, its sign (`+` or `-`), the slot it fills, and the family that it belongs to."""

    word: str
    sign: str
    slot: str
    root: str
    is_new_root: bool


def rows(name: str) -> list[str]:
    """The lines of `texts/<name>.txt` without comments and empty ones."""
    lines = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def adverb(word: str) -> str:
    """happy → happily, subtle → subtly, tragic → tragically, bad → badly."""
    for end, new in (("y", "ily"), ("ble", "bly"), ("ic", "ically"), ("ll", "lly")):
        if word.endswith(end):
            return word[: -len(end)] + new
    return word + "ly"


def step(word: str, end: str) -> str:
    """great → greater, nice → nicer, happy → happier; `end` is er or est."""
    if word.endswith("y"):
        return word[:-1] + "i" + end
    doubled = re.search(r"[^aeiou][aeiou][bdgmnt]$", word)
    return word + (word[-1] if doubled else "") + end if not word.endswith("e") else word + end[1:]


def conjugate(verb: str) -> tuple[str, str, str, str]:
    """Base, third person, past and present participle; irregular ones come written `a/b/c/d`."""
    if "/" in verb:
        base, third, past, present = verb.split("/")
        return base, third, past, present
    first, _, rest = verb.partition(" ")
    tail = f" {rest}" if rest else ""
    if first.endswith("y") and first[-2] not in _VOWELS:
        forms = (first, first[:-1] + "ies", first[:-1] + "ied", first + "ing")
    elif first.endswith("e"):
        forms = (first, first + "s", first + "d", first[:-1] + "ing")
    else:
        stem = first + (first[-1] if first in _DOUBLING else "")
        third = first + ("es" if re.search(r"(s|sh|ch|x)$", first) else "s")
        forms = (first, third, stem + "ed", stem + "ing")
    base, third, past, present = (form + tail for form in forms)
    return base, third, past, present


def _forms(slot: str, word: str) -> Iterator[tuple[str, str]]:
    plain = word.rstrip("~^")
    if slot in "lpi":
        base, third, past, present = conjugate(plain)
        yield from ((slot, base), (slot + "s", third), (slot + "p", past))
        if slot == "p":
            yield from (("f", past), ("a", present))
    else:
        yield slot, plain
        if slot == "c":
            yield "a", plain
    flags = word[len(plain) :]
    if "~" in flags:
        yield "d", adverb(plain)
    if "^" in flags:
        yield from (("r", step(plain, "er")), ("s", step(plain, "est")))


def _family(line: str) -> Iterator[Form]:
    sign, *cells = line.split()
    is_new = cells[0].startswith("!")
    pairs = [cell.lstrip("!").split(":") for cell in cells]
    found = [pair for slot, word in pairs for pair in _forms(slot, word.replace("_", " "))]
    for slot, word in found:
        yield Form(word, sign, slot, found[0][1], is_new)


FORMS = [form for line in rows("lexicon") for form in _family(line)]
_ROOTS = {form.root for form in FORMS}


def _by_crc(word: str) -> bool:
    return crc32(word.encode()) % _SHARE == 0


def held_out_forms(spoken: set[str]) -> set[str]:
    """Derived words kept back: of a family that training knows, not a root, not in `spoken`."""
    words = {form.word for form in FORMS if not form.is_new_root}
    return {word for word in words - _ROOTS - spoken if " " not in word and _by_crc(word)}


def new_roots() -> set[str]:
    """Every word of the families that training never meets in any form."""
    return {form.word for form in FORMS if form.is_new_root}


def by_slot(words: set[str]) -> dict[tuple[str, str], list[str]]:
    """These words under (slot, sign), each once, in the order of the file."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for form in FORMS:
        if form.word in words and form.word not in found[form.slot, form.sign]:
            found[form.slot, form.sign].append(form.word)
    return dict(found)
