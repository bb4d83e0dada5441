"""The prompts that the embedded image model is measured on; training has shown none of their scenes.

Landscapes are the exception: too few are possible for any to be held out.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import NamedTuple

from workers.embedded.training.scenes.captions import NEW_OPENINGS, caption, said
from workers.embedded.training.scenes.heldout import PAIRS, new_pair_item, new_scene, training_scene
from workers.embedded.training.scenes.palette import BACKGROUNDS, stands_out
from workers.embedded.training.scenes.scene import ARRAYS, LANDSCAPES, Scene

SEED = 60_000_000
NEW, WORDED, PAIRED, COUNTED, RELATED, LANDSCAPED = (
    "one object, new scenes",
    "one object, new scenes in new wordings",
    "one object, colour and shape never shown together",
    "two, three or four of a kind",
    "two objects and how they stand",
    "landscapes",
)
SIZES = {NEW: 200, WORDED: 60, PAIRED: 80, COUNTED: 60, RELATED: 60, LANDSCAPED: 60}


class Question(NamedTuple):
    """A prompt, what of a scene it has `said`, all of the `scene`, and the seed of its picture."""

    prompt: str
    said: Scene
    scene: Scene
    seed: int


def is_alone(scene: Scene) -> bool:
    return scene.background not in LANDSCAPES and len(scene.items) == 1 and scene.items[0].count == 1


def _is_related(scene: Scene) -> bool:
    return scene.relation != ""


def _new(dice: Random, number: int) -> Scene:  # noqa: ARG001
    return _draw_until(is_alone, new_scene, dice)


def _paired(dice: Random, number: int) -> Scene:
    pair = sorted(PAIRS)[number % len(PAIRS)]
    background = dice.choice([name for name in BACKGROUNDS if stands_out(pair[1], name)])
    return Scene(background, (new_pair_item(pair, dice),))


def _counted(dice: Random, number: int) -> Scene:
    count = tuple(ARRAYS)[number % len(ARRAYS)]
    return _draw_until(lambda scene: scene.items[0].count == count, new_scene, dice)


def _related(dice: Random, number: int) -> Scene:  # noqa: ARG001
    return _draw_until(_is_related, new_scene, dice)


def _landscaped(dice: Random, number: int) -> Scene:  # noqa: ARG001
    return _draw_until(lambda scene: scene.background in LANDSCAPES, training_scene, dice)


def _draw_until(fits: Callable[[Scene], bool], draw: Callable[[Random], Scene], dice: Random) -> Scene:
    while not fits(scene := draw(dice)):
        pass
    return scene


_SETS = {
    NEW: _new,
    WORDED: _new,
    PAIRED: _paired,
    COUNTED: _counted,
    RELATED: _related,
    LANDSCAPED: _landscaped,
}


def questions(name: str, total: int | None = None) -> Iterator[Question]:
    """The first `total` questions of a set; the same ones every time."""
    base = SEED + 1_000_000 * list(_SETS).index(name)
    for number in range(SIZES[name] if total is None else total):
        dice = Random(base + number)
        scene = _SETS[name](dice, number)
        spoken = said(scene, dice)
        if name == PAIRED:
            # The colour is what the question is about.
            spoken = replace(spoken, items=scene.items)
        prompt = caption(spoken, dice, NEW_OPENINGS) if name == WORDED else caption(spoken, dice)
        yield Question(prompt, spoken, scene, base + number)
