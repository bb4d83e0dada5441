"""What training never shows, so that the model card's figures are about new prompts."""

from random import Random
from zlib import crc32

from workers.embedded.training.scenes.scene import SHAPES, Item, Scene, draw_scene

# Colours that these shapes never have in training: the model has to put the two together itself.
PAIRS = {
    ("star", "purple"),
    ("triangle", "orange"),
    ("heart", "turquoise"),
    ("ring", "brown"),
    ("cross", "pink"),
    ("diamond", "blue"),
    ("square", "yellow"),
    ("circle", "green"),
}
# One scene in so many is kept from training as it stands, whatever its wording.
ONE_IN = 8


def has_held_out_pair(scene: Scene) -> bool:
    return any((item.kind, item.colour) in PAIRS for item in scene.items)


def is_held_out_scene(scene: Scene) -> bool:
    """Whether this very combination of shapes, colours, sizes, places and background is kept back."""
    if scene.items[0].kind not in SHAPES:
        return False
    return crc32(repr((scene.background, scene.items, scene.relation)).encode()) % ONE_IN == 0


def training_scene(dice: Random) -> Scene:
    """A scene by lot that training may show."""
    while True:
        scene = draw_scene(dice)
        if not has_held_out_pair(scene) and not is_held_out_scene(scene):
            return scene


def new_scene(dice: Random) -> Scene:
    """A scene by lot that training never showed, made of pairs that it did show elsewhere."""
    while True:
        scene = draw_scene(dice)
        if is_held_out_scene(scene) and not has_held_out_pair(scene):
            return scene


def new_pair_item(pair: tuple[str, str], dice: Random) -> Item:
    return Item(*pair, "", dice.choice(("medium", "big")))
