"""What a picture holds, and scenes drawn by lot."""

from dataclasses import dataclass, replace
from random import Random

from workers.embedded.training.scenes.palette import BACKGROUNDS, COLOURS, stands_out

SIDE = 64

SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond", "ring", "cross")
THINGS = ("house", "tree", "flower", "sun", "moon", "cloud")
SIZES = {"small": 8.5, "medium": 13.0, "big": 20.0}
# Where an object's centre may be, as shares of the side.
PLACES = {
    "centre": (0.5, 0.5),
    "left": (0.24, 0.5),
    "right": (0.76, 0.5),
    "top": (0.5, 0.24),
    "bottom": (0.5, 0.76),
    "top left": (0.24, 0.24),
    "top right": (0.76, 0.24),
    "bottom left": (0.24, 0.76),
    "bottom right": (0.76, 0.76),
}
# Of two objects: what the first is to the second, and where both are.
RELATIONS = {
    "left of": ("left", "right"),
    "right of": ("right", "left"),
    "above": ("top", "bottom"),
    "below": ("bottom", "top"),
}
# Room for two, three or four of a kind, and how large they then may be.
ARRAYS = {
    2: ((0.28, 0.5), (0.72, 0.5)),
    3: ((0.5, 0.27), (0.25, 0.72), (0.75, 0.72)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}


@dataclass(frozen=True)
class Item:
    """One kind of object, `count` times. `second` is a house's roof; "" is what the prompt leaves open."""

    kind: str
    colour: str
    second: str = ""
    size: str = "medium"
    place: str = ""
    count: int = 1


@dataclass(frozen=True)
class Scene:
    """Items on a plain background, or in a landscape by `day` or `night`.

    `relation` is what the first item is to the second; "" where it is left open.
    """

    background: str
    items: tuple[Item, ...]
    relation: str = ""


LANDSCAPES = ("day", "night")


def draw_scene(dice: Random) -> Scene:
    """A scene by lot: half of them with one object, the rest with several, or a landscape."""
    kinds = (_alone, _several, _pair, _landscape)
    return dice.choices(kinds, (48, 14, 20, 18))[0](dice)


def _colour(dice: Random, background: str, other: str = "") -> str:
    return dice.choice([name for name in COLOURS if stands_out(name, background) and name != other])


def _background(dice: Random) -> str:
    return dice.choices(list(BACKGROUNDS), (30, 14, 9, 14, 11, 11, 11))[0]


def _alone(dice: Random) -> Scene:
    background = _background(dice)
    size = dice.choices(list(SIZES), (25, 40, 35))[0]
    place = dice.choice(list(PLACES)) if dice.random() < 0.6 else ""
    # Something big fits the middle only where it may touch the border.
    item = Item(dice.choice(SHAPES), _colour(dice, background), "", size, place)
    return Scene(background, (item,))


def _several(dice: Random) -> Scene:
    background = _background(dice)
    count = dice.choice(list(ARRAYS))
    size = dice.choice(("small", "medium"))
    item = Item(dice.choice(SHAPES), _colour(dice, background), "", size, "", count)
    return Scene(background, (item,))


def _pair(dice: Random) -> Scene:
    background = _background(dice)
    first = Item(dice.choice(SHAPES), _colour(dice, background), "", dice.choice(("small", "medium")))
    second = Item(
        dice.choice(SHAPES), _colour(dice, background, first.colour), "", dice.choice(("small", "medium"))
    )
    relation = dice.choice(list(RELATIONS)) if dice.random() < 0.75 else ""
    return Scene(background, (first, second), relation)


def _landscape(dice: Random) -> Scene:
    time = dice.choices(LANDSCAPES, (75, 25))[0]
    ground = dice.sample(("house", "tree", "flower"), dice.choice((0, 1, 1, 2)))
    sky = dice.sample(("sun", "cloud") if time == "day" else ("moon",), dice.choice((0, 1, 1)))
    chosen = [_thing(dice, kind) for kind in ground + sky] or [_thing(dice, "house")]
    return Scene(time, tuple(chosen))


def _thing(dice: Random, kind: str) -> Item:
    match kind:
        case "house":
            walls = dice.choice(("red", "yellow", "blue", "white", "orange", "pink", "purple", "brown"))
            roof = dice.choice([name for name in ("red", "brown", "black", "blue", "grey") if name != walls])
            return Item(kind, walls, roof)
        case "flower":
            return Item(kind, dice.choice(("red", "yellow", "blue", "white", "orange", "pink", "purple")))
        case "tree":
            return Item(kind, dice.choices(("green", "orange", "red", "yellow"), (70, 12, 9, 9))[0])
        case "sun":
            return Item(kind, "yellow")
        case _:
            return Item(kind, "white")


def with_open_places(scene: Scene, dice: Random) -> Scene:
    """The same scene with everything decided that its prompt leaves open: places, and the relation."""
    if scene.background in LANDSCAPES:
        return scene
    if len(scene.items) == 2:
        relation = scene.relation or dice.choice(list(RELATIONS))
        places = RELATIONS[relation]
        items = tuple(replace(item, place=at) for item, at in zip(scene.items, places, strict=True))
        return Scene(scene.background, items, relation)
    (item,) = scene.items
    if item.count > 1 or item.place:
        return scene
    # Left open, an object is mostly in the middle.
    place = "centre" if dice.random() < 0.7 else dice.choice(list(PLACES))
    return Scene(scene.background, (replace(item, place=place),))
