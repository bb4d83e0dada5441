"""Draws clauses: a subject, a verb and what it asks for, a tense, a time."""

from dataclasses import replace
from random import Random

from workers.embedded.training.translation import phrase
from workers.embedded.training.translation.clauses import BE, Clause, Pair
from workers.embedded.training.translation.german import Case
from workers.embedded.training.translation.heldout import is_new_pair, is_rare
from workers.embedded.training.translation.lexicon import (
    NAMES,
    NOUNS,
    VERBS,
    Adjective,
    Noun,
    Verb,
    fitting,
    tagged,
)
from workers.embedded.training.translation.phrase import PRONOUNS, Phrase
from workers.embedded.training.translation.times import OFTEN, time_of

_TENSES = (
    "present present present progressive progressive past past past per"
    "fect future can should would could want have wanted had like"
)


def person(dice: Random) -> Phrase:
    """Someone who acts: a pronoun, a name, or a phrase."""
    draw = dice.random()
    if draw < 0.42:
        return dice.choice(PRONOUNS)
    if draw < 0.68:
        return phrase.name(dice)
    if draw < 0.72:
        first, second = phrase.name(dice).en, phrase.name(dice).en
        return Phrase(
            f"{first} and {second}",
            f"{first} and {second}",
            dict.fromkeys(("nom", "acc", "dat"), f"{first} und {second}"),
            3,
        )
    return phrase.draw(dice, dice.choice(tagged("person,kin")))


def verb_of(dice: Random, tense: str) -> Verb:
    """Any verb that has this tense."""
    while True:
        verb = dice.choice(VERBS)
        state = verb.key in ("like", "love", "need", "have", "know", "belong", "hear", "see", "believe")
        if not (state and tense in ("progressive", "like")) and not (
            verb.key == "have" and tense == "perfect"
        ):
            return verb


def object_of(dice: Random, tags: str, verb: Verb) -> Phrase:
    """What a verb acts on: mostly a phrase, for people also a pronoun or a name."""
    noun = dice.choice(tagged(tags))
    if (verb.key == "learn" and dice.random() < 0.6) or (tags == "language" and dice.random() < 0.5):
        en, de = dice.choice(NAMES["languages"])
        return Phrase(
            en,
            en,
            {"nom": de, "acc": de, "dat": de},
            2,
            "",
            {"nom": f"kein {de}", "acc": f"kein {de}", "dat": ""},
        )
    if "person" in noun.tags and dice.random() < 0.5:
        return dice.choice(PRONOUNS) if dice.random() < 0.45 else phrase.name(dice)
    if verb.key == "play#2":
        return phrase.build(noun, "the", "", (), False)
    if noun.tags & {"food", "drink", "clothes"} and noun.gender != "p" and dice.random() < 0.3:
        return phrase.build(noun, "", "", phrase.describe(dice, noun), bool(noun.de_plural))
    if noun.gender != "p" and dice.random() < 0.1:
        return _two(dice, noun, tagged(tags), verb)
    return phrase.draw(dice, noun)


def _two(dice: Random, noun: Noun, others: tuple[Noun, ...], verb: Verb) -> Phrase:
    other = dice.choice(others)
    if is_new_pair(verb.key, other.en) or is_rare(other.en):
        other = noun
    first, second = phrase.draw(dice, noun), phrase.draw(dice, other)
    both: dict[Case, str] = {case: f"{first.de[case]} und {second.de[case]}" for case in first.de}
    en = f"{first.en} and {second.en}"
    return Phrase(en, en, both, 3, noun.en)


def _free(dice: Random, one: Phrase, subject: Phrase) -> Phrase:
    """Not the subject again: `I see me` is said in another way."""
    clash = one.is_pronoun and (one.person == subject.person or {one.person, subject.person} <= {0, 3})
    return phrase.name(dice) if clash else one


def place(dice: Random, to: bool) -> tuple[Pair, str]:
    """Where, or where to, and the noun that says it."""
    draw = dice.random()
    if draw < 0.3:
        en, de = phrase.city(dice)
        return ((f"to {en}", f"nach {de}") if to else (f"in {en}", f"in {de}")), ""
    if draw < 0.38:
        en, de = dice.choice(NAMES["countries"])
        return ((f"to {en}", f"nach {de}") if to else (f"in {en}", f"in {de}")), ""
    noun = dice.choice([one for one in tagged("place") if one.place])
    assert noun.place is not None
    english, where, where_to = noun.place
    draw = dice.random()
    if draw < 0.7 or noun.en in ("school", "sea"):
        some = phrase.build(noun, "" if noun.en == "school" else "the", "der", (), False)
    else:
        some = phrase.draw(dice, noun, plural=False)
    case: Case = "acc" if to and where_to != "zu" else "dat"
    return phrase.with_preposition("to" if to else english, where_to if to else where, case, some), noun.en


def _rest(dice: Random, verb: Verb) -> tuple[Pair | None, str]:
    frame = verb.frame
    if "p" in frame:
        prepositions, tags = frame["p"].split(":")
        en, de, case = prepositions.split("/")
        one = object_of(dice, tags, verb)
        return phrase.with_preposition(en, de, "acc" if case == "acc" else "dat", one), one.key
    if "in" in frame or ("in?" in frame and dice.random() < 0.3):
        return place(dice, to=False)
    if "to" in frame or ("to?" in frame and dice.random() < 0.5):
        return place(dice, to=True)
    return None, ""


def clause(dice: Random, tense: str = "") -> tuple[Clause, set[tuple[str, str]]]:
    """A clause in this tense, or in any, and the pairs of words that meet in it."""
    tense = tense or dice.choice(_TENSES.split())
    verb = verb_of(dice, tense)
    subject = person(dice)
    if "s" in verb.frame:
        subject = phrase.draw(dice, dice.choice(tagged(verb.frame["s"])))
    dative = accusative = None
    if "d" in verb.frame:
        dative = _free(dice, object_of(dice, verb.frame["d"], verb), subject)
    if "o" in verb.frame or ("o?" in verb.frame and dice.random() < 0.7):
        accusative = object_of(dice, verb.frame.get("o") or verb.frame["o?"], verb)
        accusative = _free(dice, accusative, subject)
        if accusative.is_pronoun and (dative or verb.particle):
            accusative = phrase.name(dice)
    rest, at = _rest(dice, verb)
    met = {(verb.key, one.key) for one in (accusative, dative) if one} | {(verb.key, at), ("", subject.key)}
    made = Clause(subject, verb, tense, dative=dative, accusative=accusative, rest=rest)
    return _dated(dice, made), met


def _dated(dice: Random, made: Clause) -> Clause:
    if made.tense in ("present", "past") and dice.random() < 0.2:
        often = dice.choice(OFTEN)
        return replace(made, often=often)
    negated = made.tense != "like" and dice.random() < 0.18
    time = time_of(dice, made.tense) if dice.random() < 0.4 and made.tense != "perfect" else None
    return replace(made, negated=negated, time=time)


_IT = [
    Phrase(en, en, {"nom": de, "acc": de, "dat": de}, 2)
    for en, de in (
        ("it", "es"),
        ("that", "das"),
        ("this", "das"),
        ("everything", "alles"),
        ("the food", "das Essen"),
    )
]


def quality(dice: Random) -> tuple[Clause, set[tuple[str, str]]]:
    """Something is so, or somewhere: `The soup is very hot.`"""
    noun = dice.choice(NOUNS)
    some = fitting(noun)
    tense = dice.choice(("present", "present", "present", "past", "future"))
    if not some or dice.random() < 0.12:
        where, key = place(dice, to=False)
        subject = person(dice)
        return _dated(dice, Clause(subject, BE, tense, rest=where)), {("be", key), ("", subject.key)}
    adjective = dice.choice(some)
    subject = phrase.draw(dice, noun)
    if "person" in noun.tags and dice.random() < 0.5:
        subject = person(dice)
    elif noun.tags & {"thing", "text", "idea", "event", "food"} and dice.random() < 0.12:
        subject = dice.choice(_IT)
    made = Clause(subject, BE, tense, rest=degree(dice, adjective))
    made = replace(_dated(dice, made), often=None)
    return made, {(adjective.en, subject.key)}


def degree(dice: Random, adjective: Adjective) -> Pair:
    """`big`, `very big`, `too big`."""
    more = dice.choice(
        (("", ""), ("", ""), ("", ""), ("very ", "sehr "), ("too ", "zu "), ("really ", "wirklich "))
    )
    return more[0] + adjective.en, more[1] + adjective.de
