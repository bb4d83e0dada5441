"""Sentences of fixed build: this is, there is, bigger than, costs, trades, set phrases."""

import re
from random import Random

from workers.embedded.training.translation import phrase
from workers.embedded.training.translation.draws import place
from workers.embedded.training.translation.lexicon import (
    NAMES,
    NOUNS,
    PHRASES,
    fitting,
    tagged,
)
from workers.embedded.training.translation.plain import Drawn
from workers.embedded.training.translation.times import clock


def this_is(dice: Random) -> Drawn:
    """What this or that is."""
    noun = dice.choice(NOUNS)
    some = phrase.draw(dice, noun, plural=noun.gender == "p")
    many = some.person == 3
    this, de = dice.choice((("these", "das"),) if many else (("this", "das"), ("that", "das")))
    no = dice.random() < 0.25
    verb_en, verb_de = ("are", "sind") if many else ("is", "ist")
    if some.en.startswith(("this", "these", "every")):
        return this_is(dice)
    en = f"{this} {verb_en} {'not ' if no else ''}{some.en}"
    german_words = some.none["nom"] if no and some.none else ("nicht " if no else "") + some.de["nom"]
    return en + ".", f"{de} {verb_de} {german_words}.", {("be", some.key)}


def there_is(dice: Random) -> Drawn:
    """What there is somewhere, or is not."""
    noun = dice.choice(tagged("thing,food,drink,tech,building,nature,animal,event"))
    plural = bool(noun.de_plural) and dice.random() < 0.4
    some = phrase.build(
        noun,
        "" if plural or not noun.de_plural else "a",
        "" if plural or not noun.de_plural else "ein",
        phrase.describe(dice, noun),
        plural,
    )
    no = dice.random() < 0.25
    be = "are" if plural else "is"
    where, key = place(dice, to=False)
    form = dice.random()
    en = (
        f"there {be} {some.en}"
        if not no
        else f"there {be} no {some.en.removeprefix('a ').removeprefix('an ')}"
    )
    de = (some.none or some.de)["acc"] if no else some.de["acc"]
    if form < 0.25:
        asked = en.replace(f"there {be}", f"{be} there", 1)
        return f"{asked} {where[0]}?", f"gibt es {de} {where[1]}?", {("be", some.key), ("be", key)}
    return f"{en} {where[0]}.", f"es gibt {de} {where[1]}.", {("be", some.key), ("be", key)}


def comparison(dice: Random) -> Drawn:
    """Something is bigger than something, or as big."""
    noun = dice.choice(NOUNS)
    some = [one for one in fitting(noun) if one.de_more]
    if not some:
        return comparison(dice)
    adjective = dice.choice(some)
    first, second = phrase.draw(dice, noun), phrase.draw(dice, dice.choice(NOUNS))
    be, ist = ("are", "sind") if first.person == 3 else ("is", "ist")
    met = {(adjective.en, first.key), (adjective.en, second.key)}
    if dice.random() < 0.25:
        return (
            f"{first.en} {be} as {adjective.en} as {second.en}.",
            f"{first.de['nom']} {ist} so {adjective.de} wie {second.de['nom']}.",
            met,
        )
    return (
        f"{first.en} {be} {adjective.en_more} than {second.en}.",
        f"{first.de['nom']} {ist} {adjective.de_more} als {second.de['nom']}.",
        met,
    )


def cost(dice: Random) -> Drawn:
    """What something costs."""
    some = phrase.draw(dice, dice.choice(tagged("thing,clothes,food,tech,vehicle")))
    cost = ("cost", "kosten") if some.person == 3 else ("costs", "kostet")
    amount, cents = dice.choice((dice.randint(1, 99), dice.randint(1, 2000))), dice.random() < 0.3
    money = dice.choice((("euros", "Euro"), ("dollars", "Dollar"))) if amount > 1 else ("euro", "Euro")
    change = f"{dice.randrange(10)}{dice.choice('05')}"
    en, de = (f"{amount}.{change}", f"{amount},{change}") if cents else (str(amount), str(amount))
    return (
        f"{some.en} {cost[0]} {en} {money[0]}.",
        f"{some.de['nom']} {cost[1]} {de} {money[1]}.",
        {("cost", some.key)},
    )


_JOBS = {
    "teacher": ("Lehrer", "Lehrerin"),
    "doctor": ("Arzt", "Ärztin"),
    "driver": ("Fahrer", "Fahrerin"),
    "waiter": ("Kellner", "Kellnerin"),
    "student": ("Student", "Studentin"),
    "police officer": ("Polizist", "Polizistin"),
    "programmer": ("Programmierer", "Programmiererin"),
    "engineer": ("Ingenieur", "Ingenieurin"),
    "cook": ("Koch", "Köchin"),
    "baker": ("Bäcker", "Bäckerin"),
    "writer": ("Schriftsteller", "Schriftstellerin"),
}


_MEN, _WOMEN = (
    ("father", "brother", "uncle", "son", "grandfather"),
    ("mother", "sister", "aunt", "daughter", "grandmother"),
)


def job(dice: Random) -> Drawn:
    """What someone is by trade; a woman's trade has its own word."""
    is_woman, key = dice.random() < 0.5, ""
    en, de = ("she", "sie") if is_woman else ("he", "er")
    if dice.random() < 0.6:
        kin = phrase.draw(dice, dice.choice(tagged(",".join(_WOMEN if is_woman else _MEN))), plural=False)
        en, de, key = kin.en, kin.de["nom"], kin.key
    job = dice.choice(tuple(_JOBS))
    article = "an" if job[0] in "aeiou" else "a"
    be, ist = dice.choice((("is", "ist"), ("was", "war")))
    no, kein = dice.choice((("", ""), ("", ""), ("not ", "kein " if not is_woman else "keine ")))
    return (
        f"{en} {be} {no}{article} {job}.",
        f"{de} {ist} {kein}{_JOBS[job][is_woman]}.",
        {("be", job), ("", key)},
    )


_SLOT = re.compile(r"\{(\w+)\}")


def set_phrase(dice: Random) -> Drawn:
    """One of the phrases that are learned by heart, with its slots filled."""
    en, de = dice.choice(PHRASES)
    if "{" not in en and dice.random() < 0.35:
        return set_phrase(dice)
    day, at = dice.choice(NAMES["days"]), clock(dice)
    number = str(dice.choice((dice.randint(2, 99), dice.randint(2, 999))))
    year, day_of = str(dice.randint(1900, 2035)), str(dice.randint(1, 30))
    slots = {
        "name": (phrase.name(dice).en,) * 2,
        "name2": (phrase.name(dice).en,) * 2,
        "city": phrase.city(dice),
        "country": dice.choice(NAMES["countries"]),
        "day": day,
        "on_day": day,
        "month": dice.choice(NAMES["months"]),
        "time": at,
        "clock": at,
        "n": (number, number),
        "d": (day_of, day_of),
        "year": (year, year),
    }
    said = _SLOT.sub(lambda match: slots[match[1]][0], en)
    return said, _SLOT.sub(lambda match: slots[match[1]][1], de), set()
