"""The facts of a document: who, what, where, when, how much; many names are made up, to be copied."""

from random import Random

from workers.embedded.training.texts import read_blocks
from workers.embedded.training.translation.lexicon import NAMES, pseudo_name

Facts = dict[str, str]

_WORDS = next(block for block in read_blocks("summary") if block[0] == ("kind", "words"))
_CHOICES = {key: value.split(" | ") for key, value in _WORDS if key != "kind"}
_SUFFIXES = (
    " Ltd| Motors| Foods| Systems| Bank| Airlines| Energy| Labs| Group| & Sons| Software| Media| Tools||||"
)
_TEAMS = "{} United|{} City|FC {}|the {} Tigers|the {} Bears|{} Rovers|{} Wanderers|the {} Hawks|{}"
_AMOUNTS = (
    "{n} million dollars|{n} million euros|${n} million|{n},000 dollars|{k}0,000 euros|"
    "{n}.{d} million dollars|{n} billion euros|${n},{t}00"
)
_PRICES = "{n} dollars|{n} euros|${n}|{n}.99 euros|${n}.50"


def word(dice: Random) -> str:
    """A name out of the lists, or more often one that nobody bears."""
    if dice.random() < 0.6:
        return pseudo_name(dice)
    return dice.choice(NAMES["people"])[0]


def person(dice: Random) -> str:
    """A name, mostly with a surname."""
    first = word(dice)
    return first if dice.random() < 0.25 else f"{first} {pseudo_name(dice)}"


def city(dice: Random) -> str:
    """A place: real ones, and more that are on no map."""
    if dice.random() < 0.5:
        return dice.choice(NAMES["cities"])[0]
    lead = dice.choice(("", "", "", "New ", "Port ", "East ", "Saint "))
    return lead + pseudo_name(dice)


def company(dice: Random) -> str:
    """A firm that does not exist."""
    return pseudo_name(dice) + dice.choice(_SUFFIXES.split("|"))


def _numbers(dice: Random) -> Facts:
    fill = {
        "n": dice.randint(2, 950),
        "k": dice.randint(2, 95),
        "d": dice.randint(1, 9),
        "t": dice.randint(1, 9),
    }
    day, month = dice.choice(NAMES["days"])[0], dice.choice(NAMES["months"])[0]
    number = dice.choice((dice.randint(11, 99), dice.randint(100, 999), dice.randint(2, 90) * 1000))
    low, high = sorted(dice.sample(range(0, 9), 2))
    return {
        "amount": dice.choice(_AMOUNTS.split("|")).format(**fill),
        "price": dice.choice(_PRICES.split("|")).format(n=dice.randint(5, 999)),
        "day": day if dice.random() < 0.6 else f"{month} {dice.randint(1, 30)}",
        "day2": dice.choice([one for one, _ in NAMES["days"] if one != day]),
        "month": dice.choice(NAMES["months"])[0],
        "year": str(dice.randint(1985, 2035)),
        "year2": str(dice.randint(1950, 2020)),
        "num": f"{number:,}" if dice.random() < 0.7 else str(number),
        "small": str(dice.randint(2, 40)),
        "percent": str(dice.randint(2, 60)),
        "speed": str(dice.randint(90, 190)),
        "score": f"{high}-{low}",
        "score2": f"{low}-{high}",
        "time": f"{dice.randint(1, 12)}:{dice.randrange(60):02}",
    }


def _people(dice: Random) -> Facts:
    teams = _TEAMS.split("|")
    found = {"person": person(dice), "person2": person(dice), "city": city(dice), "city2": city(dice)}
    found |= {"company": company(dice), "company2": company(dice)}
    return found | {name: dice.choice(teams).format(pseudo_name(dice)) for name in ("team", "team2")}


def draw_facts(dice: Random) -> Facts:
    """One value for each slot of the templates."""
    drawn = {key: dice.choice(values) for key, values in _CHOICES.items()}
    for key in ("facility", "product", "building", "treasure"):
        drawn[f"a{key}"] = f"a(n) {drawn[key]}"
    return {**drawn, **_numbers(dice), **_people(dice)}
