"""Sentences of one clause: statements, questions, requests."""

from dataclasses import replace
from random import Random

from workers.embedded.training.translation.clauses import (
    english,
    german,
)
from workers.embedded.training.translation.draws import clause, quality
from workers.embedded.training.translation.german import finite
from workers.embedded.training.translation.phrase import PRONOUNS, Phrase

# The sentence in English and in German, and the pairs of words that meet in it.
Met = set[tuple[str, str]]
Drawn = tuple[str, str, Met]


def statement(dice: Random, tense: str) -> Drawn:
    """Someone does something: in any order that a statement has."""
    made, met = clause(dice, tense)
    order = "fronted" if made.time and dice.random() < 0.3 else "plain"
    said = english(made, order)
    if order == "fronted" and made.time and dice.random() < 0.6:
        said = made.time[0] + "," + said[len(made.time[0]) :]
    return said + ".", german(made, order) + ".", met


def quality_of(dice: Random) -> Drawn:
    """Something is so, said or asked."""
    made, met = quality(dice)
    order = "asked" if dice.random() < 0.2 and not made.negated else "plain"
    end = "?" if order == "asked" else "."
    return english(made, order) + end, german(made, order) + end, met


def question(dice: Random) -> Drawn:
    """Whether, what, where, when or why someone does something."""
    made, met = clause(dice)
    made = replace(made, negated=False)
    orders = ["asked", "asked", "why", "when"]
    orders += ["what"] * bool(
        made.accusative
        and not made.accusative.is_pronoun
        and "person" not in made.verb.frame.get("o", "person")
    )
    orders += ["where"] * bool({"to", "in", "in?"} & made.verb.frame.keys() and made.rest)
    order = dice.choice(orders)
    if order == "when":
        made = replace(made, time=None)
    if order == "where":
        to = "to" in made.verb.frame
        return (
            english(made, order) + "?",
            german(made, order).replace("wo ", "wohin " if to else "wo ", 1) + "?",
            met,
        )
    return english(made, order) + "?", german(made, order) + "?", met


_WHO = Phrase("who", "whom", {"nom": "wer", "acc": "wen", "dat": "wem"}, 2)


def who(dice: Random) -> Drawn:
    """Who does something."""
    made, met = clause(dice)
    if "s" in made.verb.frame:
        return who(dice)
    made = replace(made, subject=_WHO, negated=False)
    return english(made, "who") + "?", german(made, "who") + "?", met


def please(dice: Random) -> Drawn:
    """What someone is told to do."""
    made, met = clause(dice, "present")
    avoided = (
        "like",
        "love",
        "need",
        "have",
        "know",
        "hear",
        "lose",
        "belong",
        "see",
        "find",
        "understand",
        "miss",
    )
    if (
        "s" in made.verb.frame
        or made.verb.key in avoided
        or any(one and one.is_pronoun and one.person == 1 for one in (made.dative, made.accusative))
    ):
        return please(dice)
    made = replace(made, subject=PRONOUNS[1], often=None, negated=False)
    verb = made.verb
    stem = verb.he[:-1]
    changed = "e" in verb.infinitive[:-2] and "i" in stem and "i" not in verb.infinitive
    said = stem if changed else finite(verb.infinitive, verb.he, 0)
    en = english(made, "plain").removeprefix("you ")
    de = german(made, "plain").split(" ", 2)
    rest = de[2] if len(de) > 2 else ""
    if dice.random() < 0.6:
        return f"please {en}.", f"bitte {said} {rest}".strip() + ".", met
    return f"{en}!", f"{said} {rest}".strip() + "!", met
