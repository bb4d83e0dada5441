"""Requests for stories, and the stories that answer them."""

from dataclasses import dataclass
from random import Random

from workers.embedded.training.cast import Cast, Wish, draw_cast
from workers.embedded.training.grammar import sentences, write
from workers.embedded.training.plots import PLOTS, Plot, draw_plot
from workers.embedded.training.stories import tell, tell_long, tell_short
from workers.embedded.training.texts import read_wordings
from workers.embedded.training.words import ANIMALS, FAMILY, NAMES, PLACES

_WORDINGS = read_wordings("wordings")
_SORTS = {
    "plain": ("", "", "", "little ", "nice ", "good ", "new ", "children's "),
    "short": ("short ", "very short ", "tiny ", "quick "),
    "long": ("long ", "longer ", "very long "),
}
# What a request names, and how often it does.
_TOPICS = {"pair": 40, "kind": 12, "thing": 8, "friends": 6, "place": 6, "all": 6, "name": 6, "theme": 8}


@dataclass(frozen=True)
class Told:
    """One request with its story, and what the story was made of."""

    prompt: str
    story: str
    cast: Cast
    plot: Plot


def _wish(dice: Random, topic: str) -> Wish:
    place = dice.choice(tuple(PLACES)) if topic in ("place", "all") else None
    name = dice.choice(NAMES[dice.choice(("he", "she"))]) if topic == "name" else None
    return Wish(place=place, name=name, kind=dice.choice(tuple(ANIMALS)) if name else None)


def _topic(dice: Random) -> str:
    return dice.choices(tuple(_TOPICS), weights=tuple(_TOPICS.values()))[0]


def ask(dice: Random, cast: Cast, plot: Plot, topic: str, sort: str) -> str:
    """A request for this story: the topic says what it names, the sort how long it is to be."""
    slots = {
        **cast.slots,
        "adjective": cast.hero.adjective or "little",
        "fkind": cast.friend.kind,
        "name": cast.hero.name or cast.hero.kind,
        "theme": plot.theme,
        "sort": dice.choice(_SORTS[sort]),
        "topic": dice.choice(_WORDINGS[f"topic {topic}"]),
    }
    return write(dice, dice.choice(_WORDINGS["ask"]), slots)


def draw_story(dice: Random, cast: Cast | None = None, topic: str | None = None) -> Told:
    """A request and its answer; of plain, short or long kind, one in ten with a moral."""
    topic = topic or _topic(dice)
    cast = cast or draw_cast(dice, _wish(dice, topic))
    theme = dice.choice(PLOTS).theme if topic == "theme" else None
    plot = draw_plot(dice, FAMILY[cast.thing], theme)
    sort = dice.choices(("plain", "short", "long"), weights=(74, 10, 16))[0]
    prompt = ask(dice, cast, plot, topic, sort)
    moral = dice.random() < 0.12
    if sort == "long":
        return Told(prompt, tell_long(dice, cast, plot), cast, plot)
    if moral:
        prompt += dice.choice((" It should have a moral.", " Add a moral, please.", " With a moral."))
    teller = tell_short if sort == "short" else tell
    return Told(prompt, teller(dice, cast, plot, moral), cast, plot)


def any_story(dice: Random) -> tuple[str, str]:
    """A request that names nothing, and a story of the teller's choice."""
    cast, prompt = draw_cast(dice), dice.choice(_WORDINGS["any story"])
    bedtime = "bedtime" if "bedtime" in prompt else None
    return prompt, tell(dice, cast, draw_plot(dice, FAMILY[cast.thing], bedtime))


def continued_story(dice: Random) -> tuple[str, str]:
    """The beginning of a story to go on with, and the rest of it."""
    cast = draw_cast(dice)
    story = tell(dice, cast, draw_plot(dice, FAMILY[cast.thing])).replace("\n\n", " ")
    parts = sentences(story)
    # A start that ends inside a quotation would leave the answer to close it.
    cut = next(n for n in (2, 3, 1, 4, 5) if " ".join(parts[:n]).count('"') % 2 == 0)
    start = story[: story.index(parts[cut])].strip()
    return dice.choice(_WORDINGS["continue"]).replace("{start}", start), story[len(start) :].strip()
