"""Sentences of two clauses: that, because, and, trying to."""

from dataclasses import replace
from random import Random

from workers.embedded.training.translation import phrase
from workers.embedded.training.translation.clauses import Clause, english, german, german_last, german_zu
from workers.embedded.training.translation.draws import clause, quality
from workers.embedded.training.translation.german import finite
from workers.embedded.training.translation.phrase import PRONOUNS
from workers.embedded.training.translation.plain import Drawn, Met

_MATRIX = (
    ("I think that", "ich glaube, dass"),
    ("I know that", "ich weiß, dass"),
    ("he says that", "er sagt, dass"),
    ("she says that", "sie sagt, dass"),
    ("we hope that", "wir hoffen, dass"),
    ("they believe that", "sie glauben, dass"),
    ("it is good that", "es ist gut, dass"),
    ("it is possible that", "es ist möglich, dass"),
    ("I do not know if", "ich weiß nicht, ob"),
    ("do you know if", "weißt du, ob"),
    ("she asks if", "sie fragt, ob"),
)


_LINKS = (("because", "weil"), ("because", "weil"), ("when", "wenn"), ("if", "wenn"), ("although", "obwohl"))


def _any_clause(dice: Random, tense: str = "") -> tuple[Clause, Met]:
    return quality(dice) if dice.random() < 0.3 else clause(dice, tense)


def that_clause(dice: Random) -> Drawn:
    """What someone says, thinks or asks: the verb stands last."""
    made, met = _any_clause(dice)
    en, de = dice.choice(_MATRIX)
    if dice.random() < 0.15 and not en.startswith("do you"):
        who = phrase.name(dice).en
        en, de = f"{who} says that", f"{who} sagt, dass"
    end = "?" if en.startswith("do you") else "."
    if en.endswith(" that") and dice.random() < 0.25:
        en = en.removesuffix(" that")
    return f"{en} {english(made, 'plain')}{end}", f"{de} {german_last(made)}{end}", met


def because(dice: Random) -> Drawn:
    """Two clauses, one of them under the other."""
    (first, met), (second, more) = _any_clause(dice), _any_clause(dice)
    first, second = replace(first, time=None), replace(second, time=None)
    en, de = dice.choice(_LINKS)
    if en == "when" and second.tense in ("past", "wanted", "had", "could"):
        de = "als"
    if en in ("when", "if") and dice.random() < 0.5:
        german_main = german(first, "asked")
        return (
            f"{en} {english(second, 'plain')}, {english(first, 'plain')}.",
            f"{de} {german_last(second)}, {german_main}.",
            met | more,
        )
    return (
        f"{english(first, 'plain')} {en} {english(second, 'plain')}.",
        f"{german(first, 'plain')}, {de} {german_last(second)}.",
        met | more,
    )


def and_also(dice: Random) -> Drawn:
    """Two clauses side by side."""
    (first, met), (second, more) = clause(dice), clause(dice)
    en, de = dice.choice(((" and", " und"), (", but", ", aber")))
    return (
        f"{english(first, 'plain')}{en} {english(second, 'plain')}.",
        f"{german(first, 'plain')}{de} {german(second, 'plain')}.",
        met | more,
    )


def shared(dice: Random) -> Drawn:
    """Two clauses with one subject."""
    tense = dice.choice(("present", "past", "future", "progressive"))
    (first, met), (second, more) = clause(dice, tense), clause(dice, tense)
    if "s" in first.verb.frame or "s" in second.verb.frame or first.negated or second.negated:
        return shared(dice)
    second = replace(second, subject=first.subject)
    if any(one and one.is_pronoun for one in (second.dative, second.accusative)):
        return shared(dice)
    en = english(second, "plain").removeprefix(first.subject.en)
    de = german(second, "plain").removeprefix(first.subject.de["nom"])
    return f"{english(first, 'plain')} and{en}.", f"{german(first, 'plain')} und{de}.", met | more


_TRY = (
    ("try", "tries", "versuchen", "versucht"),
    ("hope", "hopes", "hoffen", "hofft"),
    ("plan", "plans", "planen", "plant"),
    ("promise", "promises", "versprechen", "verspricht"),
    ("begin", "begins", "beginnen", "beginnt"),
    ("forget", "forgets", "vergessen", "vergisst"),
)


def trying(dice: Random) -> Drawn:
    """What someone tries or hopes to do: an infinitive with zu."""
    made, met = clause(dice, "can")
    if "s" in made.verb.frame or made.verb.key in ("have", "belong", "like", "know"):
        return trying(dice)
    base, he, infinitive, er = dice.choice(_TRY)
    made = replace(made, negated=False, often=None)
    subject = made.subject
    after = english(replace(made, subject=PRONOUNS[0]), "plain").removeprefix("I can ")
    matrix = f"{subject.de['nom']} {finite(infinitive, er, subject.person)}"
    return (
        f"{subject.en} {he if subject.person == 2 else base} to {after}.",
        f"{matrix}, {german_zu(made)}.",
        met,
    )
