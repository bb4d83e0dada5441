"""The words of the little world, read from the files beside this one."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from workers.embedded.training.translation import english

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `de_plural` is empty for what is not counted."""

    en: str
    en_plural: str
    de: str
    gender: str
    de_plural: str
    tags: frozenset[str]
    is_weak: bool = False
    # English where, German where, German where to; None where one cannot be.
    place: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Verb:
    """A verb in both languages; `frame` holds what it asks for: o, d, p, to, in, s."""

    key: str
    en: tuple[str, str, str, str]
    particle: str
    prefix: str
    infinitive: str
    he: str
    participle: str
    auxiliary: str
    frame: dict[str, str]


@dataclass(frozen=True)
class Adjective:
    """An adjective: `stem` takes the endings; comparatives are empty where there are none."""

    en: str
    en_more: str
    de: str
    stem: str
    de_more: str
    tags: frozenset[str]


def _lines(name: str) -> list[str]:
    rows = (_HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [row for row in rows if row and not row.startswith("#")]


def _noun(row: str) -> Noun:
    left, _, right = row.partition(" = ")
    german, _, tags = right.partition(" : ")
    de, gender, plural = german.split()
    en, _, en_plural = left.partition("/")
    names = tags.split()
    place = next((tuple(one[6:-1].split(",")) for one in names if one.startswith("place(")), None)
    kept = {one.partition("(")[0] for one in names} | {en}
    return Noun(
        en,
        en if gender == "p" else en_plural or english.with_s(en),
        de,
        gender[0],
        plural.strip("-"),
        frozenset(kept),
        gender.endswith("*"),
        (place[0], place[1], place[2]) if place else None,
    )


def _verb(row: str) -> Verb:
    left, _, right = row.partition(" = ")
    german, _, frame = right.partition(" |")
    (base, *forms), words = left.split(), german.split()
    key = base
    base, _, particle = base.partition("#")[0].partition("~")
    past = forms[0] if forms else english.with_ed(base)
    participle = forms[1] if len(forms) > 1 else past
    ing = forms[2] if len(forms) > 2 else english.with_ing(base)
    prefix, _, infinitive = words[0].rpartition("|")
    asked = (part.partition(":") for part in frame.split())
    return Verb(
        key,
        (base, past, participle, ing),
        particle.replace("_", " "),
        prefix.replace("_", " "),
        infinitive,
        words[1],
        words[-1].replace("_", " "),
        "sein" if words[2:-1] == ["ist"] else "haben",
        {name: value for name, _, value in asked},
    )


def _adjective(row: str) -> Adjective:
    left, _, right = row.partition(" = ")
    german, _, tags = right.partition(" : ")
    (en, en_more), (de, de_more) = left.split(), german.split()
    de, _, stem = de.partition("/")
    more = en_more.replace("_", " ").strip("-")
    return Adjective(en, more, de, stem or de, de_more.strip("-"), frozenset(tags.split()))


def _names(key: str) -> list[tuple[str, str]]:
    row = next(line for line in _lines("names") if line.startswith(key))
    pairs = (name.replace("_", " ").partition("=") for name in row.partition(": ")[2].split())
    return [(en, de or en) for en, _, de in pairs]


NOUNS = [_noun(row) for row in _lines("nouns")]
VERBS = [_verb(row) for row in _lines("verbs")]
ADJECTIVES = [_adjective(row) for row in _lines("adjectives")]
PHRASES = [tuple(row.split(" = ")) for row in _lines("phrases")]
NAMES = {key: _names(key) for key in ("people", "cities", "countries", "days", "months", "languages")}


@cache
def tagged(tags: str) -> tuple[Noun, ...]:
    """The nouns that carry one of these tags; a noun's own name is a tag, too."""
    wanted = set(tags.split(","))
    return tuple(noun for noun in NOUNS if wanted & noun.tags)


@cache
def fitting(noun: Noun) -> tuple[Adjective, ...]:
    """The adjectives that go with a noun."""
    return tuple(one for one in ADJECTIVES if one.tags & noun.tags)


_ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "z",
    "th",
]
_VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "ee", "ou", "y"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CODAS = ["", "", "", "n", "l", "r", "s", "ck", "m", "nd", "rt", "x", "th", "v"]


_UNFIT = re.compile(
    r"fuc|shit|cunt|nig|dick|cock|arsch|tit|fag|rape|hitl|nazi|ass|sex|kill|porn|slut|whor|fick|cum"
)


def pseudo_name(dice: Random) -> str:
    """A name that nobody bears: it teaches to copy, syllable by syllable."""
    name = _made_up(dice)
    return pseudo_name(dice) if _UNFIT.search(name.lower()) else name


def _made_up(dice: Random) -> str:
    if dice.random() < 0.12:
        return "".join(dice.choices(_LETTERS, k=dice.randint(3, 8))).capitalize()
    parts = [
        dice.choice(_ONSETS) + dice.choice(_VOWELS) + dice.choice(_CODAS) for _ in range(dice.randint(1, 3))
    ]
    name = "".join(parts).capitalize()
    return name if len(name) > 2 else name + dice.choice("nlr")
