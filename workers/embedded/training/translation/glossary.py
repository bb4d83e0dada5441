"""Lists of words and short phrases in both languages: the first thing that the model reads.

From whole sentences alone it learned for 1,400 steps which German is likely before it looked at the
English; a list has the same order in both languages, so looking pays at once.
"""

from collections.abc import Callable
from random import Random

from workers.embedded.training.translation import phrase
from workers.embedded.training.translation.clauses import BE, Clause, english, german, infinitive
from workers.embedded.training.translation.draws import degree, person, place, verb_of
from workers.embedded.training.translation.heldout import is_new_pair, is_rare
from workers.embedded.training.translation.lexicon import ADJECTIVES, NOUNS
from workers.embedded.training.translation.times import time_of

Pair = tuple[str, str]


def _noun(dice: Random) -> Pair:
    one = phrase.draw(dice, dice.choice(NOUNS))
    return one.en, one.de["nom"]


def _bare(dice: Random) -> Pair:
    noun = dice.choice(NOUNS)
    return noun.en, noun.de


def _verb(dice: Random) -> Pair:
    verb = verb_of(dice, "present")
    if is_rare(verb.key):
        return _verb(dice)
    return f"to {verb.en[0]} {verb.particle}".strip(), infinitive(verb)


def _said(dice: Random) -> Pair:
    tense = dice.choice(("present", "progressive", "past", "future", "can", "want", "have", "should"))
    verb = verb_of(dice, tense)
    if is_rare(verb.key) and tense not in ("present", "past"):
        return _said(dice)
    clause = Clause(person(dice), verb, tense)
    return english(clause), german(clause)


def _quality(dice: Random) -> Pair:
    adjective = dice.choice(ADJECTIVES)
    subject = person(dice)
    if is_new_pair(adjective.en, subject.key):
        return _quality(dice)
    if dice.random() < 0.5:
        return adjective.en, adjective.de
    clause = Clause(subject, BE, dice.choice(("present", "past")), rest=degree(dice, adjective))
    return english(clause), german(clause)


def _time(dice: Random) -> Pair:
    return time_of(dice, dice.choice(("present", "past", "future")))


def _place(dice: Random) -> Pair:
    return place(dice, to=dice.random() < 0.5)[0]


def _name(dice: Random) -> Pair:
    one = phrase.name(dice)
    return one.en, one.en


_ITEMS: tuple[Callable[[Random], Pair], ...] = (
    _noun,
    _noun,
    _bare,
    _verb,
    _said,
    _said,
    _quality,
    _time,
    _place,
    _name,
)


def draw_glossary(dice: Random) -> Pair:
    """One to five items, in the same order in both languages."""
    items = [dice.choice(_ITEMS)(dice) for _ in range(dice.choice((1, 2, 2, 3, 3, 4, 5)))]
    return ", ".join(en for en, _ in items), ", ".join(de for _, de in items)
