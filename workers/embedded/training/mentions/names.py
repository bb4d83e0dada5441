"""Names of people, places and organisations: from the lists, or made up of their parts."""

from collections.abc import Callable, Sequence
from random import Random

from workers.embedded.training.mentions import dates, money
from workers.embedded.training.mentions.heldout import is_held_out
from workers.embedded.training.mentions.lists import read_lists

_PEOPLE, _PLACES, _ORGS = (read_lists(name) for name in ("people", "places", "orgs"))


def invent(dice: Random, syllables: int) -> str:
    """A word that nobody knows, in lower case."""
    return "".join(_syllable(dice) for _ in range(syllables))


def _syllable(dice: Random) -> str:
    coda = dice.choice(_PEOPLE["coda"]) if dice.random() < 0.6 else ""
    return dice.choice(_PEOPLE["onset"]) + dice.choice(_PEOPLE["vowel"]) + coda


class Names:
    """Draws names, either all for the training text or all kept back from it."""

    def __init__(self, dice: Random, held_out: bool) -> None:
        self._dice = dice
        self.held_out = held_out
        self._parts: dict[tuple[str, str], tuple[str, ...]] = {}

    def first(self) -> str:
        """A given name; one in six is made up."""
        if self._dice.random() < 0.15:
            return self._wanted(lambda: invent(self._dice, 2).capitalize())
        return self._from("people", "first")

    def last(self) -> str:
        """A surname; some are made up, some are double."""
        if self._dice.random() < 0.15:
            return self._wanted(self._new_surname)
        if self._dice.random() < 0.02:
            return f"{self._from('people', 'last')}-{self._from('people', 'last')}"
        return self._from("people", "last")

    def person(self) -> str:
        """A person's full name, sometimes with an initial, or only a given name."""
        draw = self._dice.random()
        if not self.held_out and draw < 0.12:
            return self._dice.choice(_PEOPLE["famous"])
        first, last = self.first(), self.last()
        if draw < 0.17:
            return f"{first} {self._initial()} {last}"
        if draw < 0.20:
            return f"{self._initial()} {last}"
        if draw < 0.22:
            return f"{first} {self.first()} {last}"
        return first if draw < 0.25 else f"{first} {last}"

    def gpe(self) -> str:
        """A country, state, region or city."""
        draw = self._dice.random()
        if not self.held_out and draw < 0.45:
            return self._dice.choice(_PLACES["known"])
        if draw < 0.55:
            return self._from("places", "country")
        if draw < 0.85:
            return self._from("places", "city")
        town = self._new_town()
        pattern = self._dice.choice(_PLACES["towns of two words"]) if draw > 0.94 else "{x}"
        return pattern.replace("{x}", town)

    def org(self) -> str:
        """A company, a ministry, a club, a university, a newspaper."""
        draw = self._dice.random()
        if not self.held_out and draw < 0.35:
            return self._dice.choice(_ORGS["known"])
        if draw < 0.5:
            return self._from("orgs", "other")
        if draw < 0.7:
            return self._company()
        if draw < 0.78:
            return self._ministry()
        if draw < 0.9:
            return self._dice.choice(_ORGS["of a place"]).replace("{gpe}", self.gpe())
        if draw < 0.96:
            return self._of_a_person()
        return self._wanted(
            lambda: "".join(self._dice.choices("ABCDEFGHIKLMNOPRSTUVWZ", k=self._dice.randint(3, 4)))
        )

    def date(self, shape: Callable[[Random], str]) -> str:
        """A date of this shape; of those kept back no old year is ever in the training text."""
        if self.held_out:
            return self._until(shape, lambda text: dates.is_open(text) and self._is_kept(text))
        return self._until(shape, lambda text: not (dates.is_open(text) and self._is_kept(text)))

    def money(self) -> str:
        """A sum of money."""
        return self._until(money.draw_money, lambda text: self._is_sum(text))

    def _is_sum(self, text: str) -> bool:
        return is_held_out(text) == self.held_out if any(map(str.isdigit, text)) else not self.held_out

    def _is_kept(self, date: str) -> bool:
        year = dates.year_of(date)
        return is_held_out(date if year is None else year) and not (year is None and date.isdigit())

    def _until(self, shape: Callable[[Random], str], is_wanted: Callable[[str], bool]) -> str:
        while True:
            text = shape(self._dice)
            if is_wanted(text):
                return text

    def _wanted(self, draw: Callable[[], str]) -> str:
        return self._until(lambda _: draw(), lambda text: is_held_out(text) == self.held_out)

    def _from(self, file: str, section: str) -> str:
        key = (file, section)
        if key not in self._parts:
            entries: Sequence[str] = read_lists(file)[section]
            self._parts[key] = tuple(name for name in entries if is_held_out(name) == self.held_out)
        return self._dice.choice(self._parts[key])

    def _initial(self) -> str:
        return f"{self._dice.choice('ABCDEFGHJKLMNPRSTVW')}."

    def _new_surname(self) -> str:
        return (invent(self._dice, 1) + self._dice.choice(_PEOPLE["surname end"])).capitalize()

    def _new_town(self) -> str:
        return self._wanted(lambda: self._from("places", "start") + self._dice.choice(_PLACES["end"]))

    def _brand(self) -> str:
        start = self._from("orgs", "start")
        end = self._dice.choice(_ORGS["end"])
        if self._dice.random() < 0.3:
            return f"{start} {end.capitalize()}"
        return start + (end.capitalize() if self._dice.random() < 0.3 else end)

    def _company(self) -> str:
        core = self._dice.choice((self._brand, self._brand, self.last, self._from_start, self.gpe))()
        if self._dice.random() < 0.55:
            core = f"{core} {self._dice.choice(_ORGS['kind'])}"
        elif core.count(" ") == 0 or self._dice.random() < 0.5:
            return f"{core} {self._dice.choice(_ORGS['suffix'])}"
        return f"{core} {self._dice.choice(_ORGS['suffix'])}" if self._dice.random() < 0.25 else core

    def _from_start(self) -> str:
        return self._from("orgs", "start")

    def _ministry(self) -> str:
        frame = self._dice.choice(_ORGS["ministry"]).replace("{field}", self._dice.choice(_ORGS["field"]))
        # A ministry has no name of its own: what is new in the measure is its place.
        return f"{self.gpe()} {frame}" if self.held_out or self._dice.random() < 0.2 else frame

    def _of_a_person(self) -> str:
        pattern = self._dice.choice(_ORGS["of a person"])
        while "{last}" in pattern:
            pattern = pattern.replace("{last}", self.last(), 1)
        return pattern
