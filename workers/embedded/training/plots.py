"""What can happen to a hero, a friend and a thing: the plots, and what each family of things adds."""

from dataclasses import dataclass
from random import Random

from workers.embedded.training.texts import Block, read_blocks, values

Beats = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Plot:
    """One plot: its theme, its beats, a summary, and the families of things it suits (or all)."""

    theme: str
    beats: Beats
    summary: str
    moral: str
    families: frozenset[str]


@dataclass(frozen=True)
class Family:
    """What one does with a family of things, the trouble where such a thing helps, and how."""

    habits: tuple[str, ...]
    troubles: tuple[str, ...]
    helps: tuple[str, ...]


def _beats(block: Block) -> Beats:
    beats: list[list[str]] = []
    for key, value in block:
        if key.strip() == "beat":
            beats.append([value])
        elif key.strip() == "or":
            beats[-1].append(value)
    return tuple(map(tuple, beats))


def _plot(block: Block) -> Plot:
    one = dict(block)
    families = frozenset(one.get("families", "").split())
    return Plot(one["theme"], _beats(block), one["summary"], one["moral"], families)


def _family(block: Block) -> Family:
    return Family(values(block, "habit"), values(block, "trouble"), values(block, "help"))


PLOTS = tuple(_plot(block) for block in read_blocks("plots"))
FAMILIES = {dict(block)["family"]: _family(block) for block in read_blocks("families")}


def plots_for(family: str) -> list[Plot]:
    """The plots that suit a thing of this family."""
    return [plot for plot in PLOTS if not plot.families or family in plot.families]


def draw_plot(dice: Random, family: str, theme: str | None = None) -> Plot:
    """A plot for a thing of this family, of the wished theme where one suits."""
    fitting = plots_for(family)
    wished = [plot for plot in fitting if plot.theme == theme]
    return dice.choice(wished or fitting)
