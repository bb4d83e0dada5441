"""Numbers and codes that are neither dates nor money."""

from random import Random


def draw_number(dice: Random) -> str:
    """A whole number that is no year."""
    most = dice.choice((20, 99, 999, 9999))
    return str(dice.randint(2 if most < 9999 else 2100, most))


def draw_age(dice: Random) -> str:
    return str(dice.randint(18, 99))


def draw_grouped(dice: Random) -> str:
    """A large number, as in 200,000."""
    return f"{round(dice.randint(1000, 900_000), -dice.randint(0, 3)):,}"


def draw_code(dice: Random) -> str:
    """The code of a flight, a gate or a part: BA 117, B32."""
    letters = "".join(dice.choices("ABCDEFGHKLMX", k=dice.randint(1, 2)))
    return letters + dice.choice(("", " ", "-")) + str(dice.randint(2, 999))


def draw_phone(dice: Random) -> str:
    return f"+{dice.randint(1, 99)} {dice.randint(100, 999)} {dice.randint(2100, 9999)}"
