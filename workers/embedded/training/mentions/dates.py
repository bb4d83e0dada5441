"""Dates in all their shapes: days, longer times that stand after "in", and adverbs such as "last week"."""

from random import Random

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
SHORT = ("Jan.", "Feb.", "Aug.", "Sept.", "Sep.", "Oct.", "Nov.", "Dec.", "Jan", "Feb", "Oct", "Nov", "Dec")
NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty")
UNITS = ("days", "weeks", "months", "years", "decades")
SEASONS = ("spring", "summer", "autumn", "winter", "fall")
ORDINALS = ("first", "second", "third", "fourth", "last")
HOLIDAYS = ("Christmas", "Easter", "New Year's Eve", "Christmas Eve", "Thanksgiving", "Halloween")


def _th(day: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th") if day not in (11, 12, 13) else "th"
    return f"{day}{ending}"


def draw_year(dice: Random) -> str:
    """A year, most often one of our time."""
    if dice.random() < 0.55:
        return str(dice.randint(1990, 2035))
    return str(dice.randint(1900, 2000) if dice.random() < 0.7 else dice.randint(1066, 1899))


def draw_day(dice: Random) -> str:
    """What stands after "on"; a third are plain weekdays."""
    if dice.random() < 0.3:
        return dice.choice(DAYS)
    if dice.random() < 0.08:
        return dice.choice((*HOLIDAYS, f"next {dice.choice(DAYS)}", f"last {dice.choice(DAYS)}"))
    return draw_full_day(dice)


def draw_full_day(dice: Random) -> str:
    """A day of a month, with or without its year."""
    day, number, year = dice.randint(1, 28), dice.randint(1, 12), draw_year(dice)
    month, short = MONTHS[number - 1], dice.choice(SHORT)
    weekday = dice.choice(DAYS)
    shapes = (
        f"{day} {month} {year}",
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{month} {day}, {year}",
        f"{month} {day} {year}",
        f"{day} {month}",
        f"{month} {day}",
        f"{month} {_th(day)}",
        f"{month} {_th(day)}, {year}",
        f"the {_th(day)} of {month}",
        f"the {_th(day)} of {month}, {year}",
        f"{_th(day)} of {month} {year}",
        f"{_th(day)} {month} {year}",
        f"{weekday}, {day} {month}",
        f"{weekday}, {month} {day}",
        f"{weekday}, {month} {day}, {year}",
        f"{weekday} {day} {month} {year}",
        f"{weekday} the {_th(day)}",
        f"{short} {day}",
        f"{short} {day}, {year}",
        f"{day} {short.rstrip('.')} {year}",
        f"{year}-{number:02}-{day:02}",
        f"{year}-{number:02}-{day:02}",
        f"{day:02}/{number:02}/{year}",
        f"{number}/{day}/{year}",
        f"{number}/{day}/{year[2:]}",
        f"{day}.{number}.{year}",
        f"{day:02}.{number:02}.{year}",
    )
    return dice.choice(shapes)


def draw_time(dice: Random) -> str:
    """What stands after "in" or "since": a year, a month, a decade, a season."""
    year, month, season = draw_year(dice), dice.choice(MONTHS), dice.choice(SEASONS)
    decade = f"{year[:3]}0s"
    shapes = (
        month,
        f"{month} {year}",
        f"{month} {year}",
        f"{month} of {year}",
        f"{dice.choice(SHORT)} {year}",
        f"the {decade}",
        f"the early {decade}",
        f"the late {decade}",
        f"the {season} of {year}",
        f"the {dice.choice(ORDINALS)} quarter of {year}",
        f"Q{dice.randint(1, 4)} {year}",
        f"early {year}",
        f"late {year}",
        f"mid-{year}",
        f"early {month}",
        f"late {month}",
        f"mid-{month}",
        f"the summer of {year}",
        f"the {dice.choice(ORDINALS)} week of {month}",
        f"the {_th(dice.randint(15, 21))} century",
    )
    return year if dice.random() < 0.5 else dice.choice(shapes)


def draw_when(dice: Random) -> str:
    """What stands without a preposition: yesterday, last week, three days ago."""
    number = dice.choice((*NUMBERS, str(dice.randint(2, 60))))
    unit, near = dice.choice(UNITS), dice.choice(("last", "next", "this"))
    span = dice.choice(("week", "month", "year"))
    today = dice.choice(("yesterday", "today", "tomorrow"))
    shapes = (
        today,
        today,
        dice.choice(("the day before yesterday", "the day after tomorrow")),
        f"{near} {span}",
        f"{near} {span}",
        f"{near} {dice.choice(('weekend', 'quarter', *SEASONS))}",
        f"{near} {dice.choice((*DAYS, *MONTHS))}",
        f"{number} {unit} {dice.choice(('ago', 'ago', 'later', 'earlier'))}",
        f"{number} {unit} ago",
        f"{dice.choice(('a', 'one'))} {unit[:-1]} ago",
        f"{dice.choice(('earlier', 'later'))} this {span}",
        f"{dice.choice(('early', 'late'))} {dice.choice(('last', 'next'))} {span}",
        f"a few {unit} ago",
    )
    return dice.choice(shapes)


def is_open(date: str) -> bool:
    """Whether there are too many of its kind for the training text to need each one."""
    return any(letter.isdigit() for letter in date) or date.split()[0] in NUMBERS


def year_of(date: str) -> str | None:
    """The year in a date, if it is before our time: some of those are kept back."""
    digits = date.replace("-", " ").replace("/", " ").replace(".", " ").replace(",", " ").split()
    old = [part for part in digits if len(part) == 4 and part.isdigit() and part < "2010"]
    return old[0] if old else None
