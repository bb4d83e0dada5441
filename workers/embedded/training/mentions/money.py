"""Sums of money in all their shapes."""

from random import Random

SIGNS = ("$", "$", "$", "€", "€", "£", "£", "¥", "US$", "C$", "A$", "₹")
CODES = ("USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "SEK")
COINS = (
    *("dollars", "dollars", "euros", "euros", "pounds", "yen", "francs", "rupees", "pesos", "US dollars"),
    *("kronor", "rubles", "Swiss francs", "yuan"),
)
LARGE = ("million", "million", "billion", "billion", "trillion", "thousand")
WORDS = (
    "two",
    "three",
    "five",
    "six",
    "ten",
    "twelve",
    "fifteen",
    "twenty",
    "fifty",
    "a hundred",
    "a thousand",
    "thirty",
    "forty",
    "sixty",
    "eighty",
    "two hundred",
    "four",
    "seven",
    "eight",
    "nine",
    "eleven",
)
CLOSED = (
    *("a dollar", "one dollar", "a million dollars", "a billion dollars", "one euro", "half a million euros"),
    *(
        "millions of dollars",
        "billions of euros",
        "thousands of pounds",
        "a few dollars",
        "one cent",
        "a pound",
    ),
)


def draw_money(dice: Random) -> str:
    """A sum: $5, $2.5 billion, 30 euros, €4,000, 99 cents, GBP 300, £1.2m."""
    small, large = _small(dice), dice.choice(LARGE)
    part = _part(dice)
    sign, coin, code = dice.choice(SIGNS), dice.choice(COINS), dice.choice(CODES)
    shapes = (
        f"{sign}{small}",
        f"{sign}{small}",
        f"{sign}{_grouped(dice)}",
        f"{sign}{dice.randint(1, 999)}.{dice.randint(0, 99):02}",
        f"{sign}{part} {large}",
        f"{sign}{part} {large}",
        f"{sign}{part}{dice.choice(('m', 'bn', 'k', 'M', 'B', 'K'))}",
        f"{small} {coin}",
        f"{small} {coin}",
        f"{_grouped(dice)} {coin}",
        f"{part} {large} {coin}",
        f"{part} {large} {coin}",
        f"{dice.choice(WORDS)} {coin}",
        f"{dice.choice(WORDS)} {large} {coin}",
        f"{code} {small}",
        f"{code} {_grouped(dice)}",
        f"{code} {part} {large}",
        f"{_grouped(dice)} {code}",
        f"{small} {dice.choice('€€$£')}",
        f"{dice.randint(2, 99)} {dice.choice(('cents', 'cents', 'pence'))}",
    )
    return dice.choice(CLOSED) if dice.random() < 0.04 else dice.choice(shapes)


def _small(dice: Random) -> str:
    return str(dice.choice((dice.randint(1, 20), dice.randint(1, 999), dice.randint(1, 99) * 10)))


def _grouped(dice: Random) -> str:
    value = dice.randint(1000, 99999) if dice.random() < 0.5 else dice.randint(1, 999) * 10**4
    return f"{round(value, -dice.randint(0, 3)):,}"


def _part(dice: Random) -> str:
    whole = dice.randint(1, 20) if dice.random() < 0.6 else dice.randint(1, 900)
    return f"{whole}.{dice.randint(1, 9)}" if dice.random() < 0.5 else str(whole)
