"""The little world: who lives in it, what they own, where they are. Read from `texts/words.txt`."""

from dataclasses import dataclass

from workers.embedded.training.texts import parted, read_wordings

_WORDS = read_wordings("words")


def _row(key: str) -> list[str]:
    return _WORDS[key][0].split()


@dataclass(frozen=True)
class Kind:
    """A kind of animal: its plural, sound and food serve the questions, its name the stories."""

    name: str
    plural: str
    sound: str
    food: str
    home: str
    colour: str


ANIMALS = {row[0]: Kind(*row) for row in parted(_WORDS["animal"], " | ")}
PEOPLE = _row("people")
# Animals that only the stories know: no question asks what they eat.
WANDERERS = _row("wanderers")
NAMES = {pronoun: _row(f"names {pronoun}") for pronoun in ("he", "she")}
# Kinds with one pronoun; everyone else draws one for each story.
FIXED_PRONOUN = {kind: pronoun for pronoun in ("he", "she") for kind in _row(f"always {pronoun}")}

# Objects by what they are good for: each family has its own troubles and helps in the stories.
FAMILY = {thing: family for family, things in parted(_WORDS["thing"], ": ") for thing in things.split()}
# Where one is, and what is there.
PLACES = {name: (where, features.split("|")) for name, where, features in parted(_WORDS["place"], ": ")}

THING_ADJECTIVES = _row("thing adjectives")
HERO_ADJECTIVES = _row("hero adjectives")
TRAITS = _row("traits")
TIMES = _row("times")
WEATHER = _WORDS["weather"]
