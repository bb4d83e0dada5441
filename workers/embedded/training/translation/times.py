"""When something happens: times of day, dates, and how often."""

from random import Random

from workers.embedded.training.translation.clauses import Pair
from workers.embedded.training.translation.lexicon import NAMES

_PAST = (
    ("yesterday", "gestern"),
    ("last week", "letzte Woche"),
    ("last year", "letztes Jahr"),
    ("last night", "gestern Abend"),
    ("two days ago", "vor zwei Tagen"),
    ("this morning", "heute Morgen"),
    ("yesterday morning", "gestern Morgen"),
)


_NOW = (
    ("today", "heute"),
    ("now", "jetzt"),
    ("every day", "jeden Tag"),
    ("in the morning", "am Morgen"),
    ("in the evening", "am Abend"),
    ("tonight", "heute Abend"),
    ("on weekends", "am Wochenende"),
    ("in summer", "im Sommer"),
    ("in winter", "im Winter"),
)


_COMING = (
    ("tomorrow", "morgen"),
    ("next week", "nächste Woche"),
    ("next year", "nächstes Jahr"),
    ("tonight", "heute Abend"),
    ("tomorrow morning", "morgen früh"),
    ("soon", "bald"),
    ("later", "später"),
    ("in the afternoon", "am Nachmittag"),
)


OFTEN = (
    ("often", "oft"),
    ("always", "immer"),
    ("never", "nie"),
    ("sometimes", "manchmal"),
    ("usually", "normalerweise"),
)


_HOURS = dict(
    zip(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"],
        strict=True,
    )
)


def clock(dice: Random) -> Pair:
    """A time of day: `eight o'clock`, `8:30`, `3 pm`."""
    draw = dice.random()
    if draw < 0.4:
        en, de = dice.choice(list(_HOURS.items()))
        return f"{en} o'clock", f"{de} Uhr"
    hour, minute = dice.randint(1, 12), dice.choice((0, 15, 30, 45, dice.randrange(60)))
    if draw < 0.75:
        return f"{hour}:{minute:02}", f"{hour}:{minute:02} Uhr"
    if hour == 12:
        return "noon", "12 Uhr"
    return (f"{hour} am", f"{hour} Uhr") if draw < 0.85 else (f"{hour} pm", f"{hour + 12} Uhr")


def time_of(dice: Random, tense: str) -> Pair:
    """When something happens that is told in this tense."""
    draw = dice.random()
    if draw < 0.13:
        day = dice.choice(NAMES["days"])
        return f"on {day[0]}", f"am {day[1]}"
    if draw < 0.19:
        month = dice.choice(NAMES["months"])
        return f"in {month[0]}", f"im {month[1]}"
    if draw < 0.26:
        month, day_of = dice.choice(NAMES["months"]), dice.randint(1, 30)
        return f"on {month[0]} {day_of}", f"am {day_of}. {month[1]}"
    if draw < 0.36:
        at = clock(dice)
        return f"at {at[0]}", f"um {at[1]}"
    if tense in ("past", "wanted", "had", "could"):
        return dice.choice(_PAST)
    return dice.choice(_COMING if tense == "future" or dice.random() < 0.3 else _NOW)
