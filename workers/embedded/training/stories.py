"""Stories: a cast goes through a plot, and its names and pronouns stay true."""

from random import Random

from workers.embedded.training.cast import Cast, Wish, draw_cast, slots_of
from workers.embedded.training.grammar import expand, polish, repeats_a_sentence, write
from workers.embedded.training.plots import PLOTS, Plot, draw_plot
from workers.embedded.training.texts import read_wordings
from workers.embedded.training.words import FAMILY, WEATHER

_FRAMES = read_wordings("wordings")


def _beats(dice: Random, plot: Plot, cast: Cast) -> list[str]:
    return [expand(dice, dice.choice(beat), cast.slots) for beat in plot.beats]


def _opening(dice: Random, cast: Cast) -> list[str]:
    parts = [dice.choice(_FRAMES["opening"]), dice.choice(_FRAMES["character"])]
    if dice.random() < 0.4:
        parts.append(dice.choice(WEATHER))
    return [expand(dice, part, cast.slots) for part in parts]


def _ending(dice: Random, plot: Plot, cast: Cast, moral: bool) -> list[str]:
    parts = [dice.choice(_FRAMES["ending"])]
    if moral:
        parts.append(dice.choice(_FRAMES["moral"]).replace("{moral}", plot.moral))
    return [expand(dice, part, cast.slots) for part in parts]


def tell(dice: Random, cast: Cast, plot: Plot, moral: bool = False) -> str:
    """A story of eleven or more sentences, sometimes in paragraphs, that repeats none."""
    gap = "\n\n" if dice.random() < 0.35 else " "
    while True:
        beats = _beats(dice, plot, cast)
        cut = dice.randint(3, 5)
        parts = [_opening(dice, cast), beats[:cut], beats[cut:], _ending(dice, plot, cast, moral)]
        story = polish(gap.join(" ".join(part) for part in parts))
        if not repeats_a_sentence(story):
            return story


def tell_short(dice: Random, cast: Cast, plot: Plot, moral: bool = False) -> str:
    """The same story in three or four sentences."""
    ending = " ".join(_ending(dice, plot, cast, moral))
    return write(dice, f"{plot.summary} {ending}", cast.slots)


def tell_long(dice: Random, cast: Cast, plot: Plot) -> str:
    """A story in paragraphs with a second adventure of the same hero, and a look back."""
    other = draw_cast(dice, Wish(kind=cast.hero.kind))
    while other.thing == cast.thing or other.friend.kind == cast.friend.kind:
        other = draw_cast(dice, Wish(kind=cast.hero.kind))
    sequel = Cast(cast.hero, other.friend, other.thing, other.adjective, cast.place)
    sequel.slots.update(slots_of(dice, sequel))
    second = draw_plot(dice, FAMILY[other.thing])
    while second is plot or second is PLOTS[-1]:
        second = draw_plot(dice, FAMILY[other.thing])
    return _two_chapters(dice, (cast, plot), (sequel, second))


def _two_chapters(dice: Random, first: tuple[Cast, Plot], second: tuple[Cast, Plot]) -> str:
    (cast, plot), (sequel, sequel_plot) = first, second
    while True:
        beats, more = _beats(dice, plot, cast), _beats(dice, sequel_plot, sequel)
        later = expand(dice, dice.choice(_FRAMES["later"]), cast.slots)
        back = expand(dice, dice.choice(_FRAMES["looking back"]), cast.slots)
        paragraphs = [_opening(dice, cast), beats[:4], beats[4:], [later, *more[:4]], more[4:]]
        story = polish("\n\n".join(" ".join(part) for part in [*paragraphs, [back]]))
        if not repeats_a_sentence(story):
            return story
