"""Noun phrases in both languages: articles, numbers, possessives, adjectives, pronouns, names."""

from dataclasses import dataclass
from random import Random

from workers.embedded.training.translation.english import a_or_an
from workers.embedded.training.translation.german import CASES, Case, article, dative_plural, ending, joined
from workers.embedded.training.translation.heldout import is_new_pair, is_rare
from workers.embedded.training.translation.lexicon import NAMES, Adjective, Noun, fitting, pseudo_name

# English determiner -> German stem; an empty stem takes no article.
_POSSESSIVES = {"my": "mein", "your": "dein", "his": "sein", "her": "ihr", "our": "unser", "their": "ihr"}
_NUMBERS = dict(
    zip(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty"],
        ["zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "zwölf", "zwanzig"],
        strict=True,
    )
)
_MANY = {**_NUMBERS, "many": "viele", "some": "einige"}
_MANY_DATIVE = {"viele": "vielen", "einige": "einigen"}
_PRONOUNS = (
    ("I", "me", "ich", "mich", "mir", 0),
    ("you", "you", "du", "dich", "dir", 1),
    ("he", "him", "er", "ihn", "ihm", 2),
    ("she", "her", "sie", "sie", "ihr", 2),
    ("we", "us", "wir", "uns", "uns", 3),
    ("they", "them", "sie", "sie", "ihnen", 3),
)


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: English as subject and as object, German by case, person 0 ich 1 du 2 er 3 plural."""

    en: str
    en_object: str
    de: dict[Case, str]
    person: int
    key: str = ""
    # The German of `not a …`: with kein; empty where `nicht` is said.
    none: dict[Case, str] | None = None
    is_pronoun: bool = False


PRONOUNS = [
    Phrase(en, obj, {"nom": nom, "acc": acc, "dat": dat}, person, is_pronoun=True)
    for en, obj, nom, acc, dat, person in _PRONOUNS
]


def name(dice: Random) -> Phrase:
    """A person's name, half of the time one that nobody bears."""
    en = pseudo_name(dice) if dice.random() < 0.5 else dice.choice(NAMES["people"])[0]
    if dice.random() < 0.12:
        en += " " + pseudo_name(dice)
    return Phrase(en, en, dict.fromkeys(CASES, en), 2)


def city(dice: Random) -> tuple[str, str]:
    """A city in both languages; half of the time one that is on no map."""
    if dice.random() < 0.4:
        made = pseudo_name(dice)
        return made, made
    return dice.choice(NAMES["cities"])


def _german(
    noun: Noun, stem: str, adjectives: tuple[Adjective, ...], plural: bool, lead: str
) -> dict[Case, str]:
    gender = "p" if plural else noun.gender
    found: dict[Case, str] = {}
    for case in CASES:
        first = article(stem, case, gender) if stem else lead
        if case == "dat":
            first = _MANY_DATIVE.get(first, first)
        end = ending(stem, case, gender)
        body = [one.stem + end for one in adjectives]
        found[case] = " ".join(word for word in (first, *body, _inflected(noun, case, plural)) if word)
    return found


def _inflected(noun: Noun, case: Case, plural: bool) -> str:
    if plural:
        return dative_plural(noun.de_plural) if case == "dat" else noun.de_plural
    return noun.de_plural if noun.is_weak and case != "nom" else noun.de


def build(
    noun: Noun, english: str, stem: str, adjectives: tuple[Adjective, ...], plural: bool, lead: str = ""
) -> Phrase:
    """The phrase with this English determiner and this German one (`lead` where it takes no endings)."""
    word = noun.en_plural if plural else noun.en
    words = [one.en for one in adjectives] + [word]
    if english == "a":
        english = a_or_an(words[0])
    en = " ".join(part for part in (english, *words) if part)
    open_ended = stem == "ein" or (not stem and not lead)
    none = _german(noun, "kein", adjectives, plural, "") if open_ended else None
    de = _german(noun, stem, adjectives, plural, lead)
    return Phrase(en, en, de, 3 if plural else 2, noun.en, none)


def _determiner(dice: Random, noun: Noun, plural: bool) -> tuple[str, str, str]:
    """English, German stem, German words without endings."""
    if "kin" in noun.tags and dice.random() < 0.8:
        return _owner(dice)
    draw = dice.random()
    if draw < 0.38 or "sky" in noun.tags:
        return "the", "der", ""
    if draw < 0.66:
        return _counted(dice, noun, plural)
    if draw < 0.88:
        return _owner(dice)
    if draw < 0.96 or plural or not noun.de_plural:
        return ("these" if plural else "this"), "dies", ""
    return "every", "jed", ""


def _owner(dice: Random) -> tuple[str, str, str]:
    if dice.random() < 0.12:
        who = name(dice).en
        if not who.endswith(("s", "x", "z")):
            return f"{who}'s", "", f"{who}s"
    owner = dice.choice(tuple(_POSSESSIVES))
    return owner, _POSSESSIVES[owner], ""


def _counted(dice: Random, noun: Noun, plural: bool) -> tuple[str, str, str]:
    if plural and noun.gender != "p" and dice.random() < 0.5:
        if dice.random() < 0.2:
            figure = str(dice.randint(11, 500))
            return figure, "", figure
        number = dice.choice(tuple(_MANY))
        return number, "", _MANY[number]
    return ("", "", "") if plural or not noun.de_plural else ("a", "ein", "")


def describe(dice: Random, noun: Noun, share: float = 0.22) -> tuple[Adjective, ...]:
    """An adjective or none; never one that makes a held-out pair with the noun."""
    some = [one for one in fitting(noun) if one.en not in ("ready", "closed", "open")]
    some = [one for one in some if not (is_new_pair(one.en, noun.en) or is_rare(one.en))]
    return (dice.choice(some),) if some and dice.random() < share else ()


def draw(dice: Random, noun: Noun, plural: bool | None = None) -> Phrase:
    """A phrase around this noun."""
    if plural is None:
        plural = noun.gender == "p" or (bool(noun.de_plural) and dice.random() < 0.22)
    english, stem, lead = _determiner(dice, noun, plural)
    return build(noun, english, stem, describe(dice, noun), plural, lead)


def with_preposition(en: str, de: str, case: Case, phrase: Phrase) -> tuple[str, str]:
    """A prepositional phrase in both languages."""
    return f"{en} {phrase.en_object}".strip(), joined(de, phrase.de[case])
