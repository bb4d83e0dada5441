"""Whether a picture shows what its prompt says, by plain geometry; what a prompt leaves open is not asked."""

from itertools import permutations

import numpy as np
from PIL import Image

from workers.embedded.training.scenes.judge import (
    Found,
    Mask,
    background_name,
    colour_names,
    objects,
    parts,
)
from workers.embedded.training.scenes.palette import COLOURS, GRASS, NIGHT, NIGHT_GRASS, RGB, SKY
from workers.embedded.training.scenes.scene import LANDSCAPES, PLACES, SIZES, Item, Scene

Verdict = dict[str, bool]

# All parts that a verdict may have.
PARTS = (
    *("colour", "shape", "number", "size", "place", "relation", "background"),
    *("day or night", "house", "tree", "flower", "sun", "moon", "cloud"),
)
# Shares of the side.
_NEAR = 0.17
_SKY_ENDS = 0.42
# A square's half side is that much of its radius; all other shapes are as wide as twice theirs.
_SQUARE = 0.88
_AROUND: dict[str, RGB] = {"sky": SKY, "night": NIGHT, "grass": GRASS, "night grass": NIGHT_GRASS}
# Pixels of one colour that hang together, at least: half of what the smallest drawing has.
_AREAS = {"house": 110, "roof": 60, "tree": 90, "flower": 45, "sun": 45, "moon": 20, "cloud": 40}
# What a thing is where the prompt does not say its colour; a house or a flower may be of any.
_USUAL = {"tree": "green", "sun": "yellow", "moon": "white", "cloud": "white"}


def verdict(said: Scene, image: Image.Image) -> Verdict:
    """Which parts of what was said the picture shows, by their names."""
    if said.background in LANDSCAPES:
        return _landscape(said, image)
    found = objects(image)
    judged = _pair(said, found) if len(said.items) == 2 else _kind(said.items[0], found)
    if said.background:
        judged["background"] = background_name(image) == said.background
    return judged


def has_colour(found: Found, colour: str) -> bool:
    """Whether more than half of an object is of that colour; any will do if none was said."""
    return not colour or found.colours.get(colour, 0.0) > 0.5


def _kind(item: Item, found: list[Found]) -> Verdict:
    """Of one object the largest found is judged, of several all that were asked for."""
    chosen = found[: item.count]
    is_there = len(chosen) == item.count
    judged = {
        "shape": is_there and all(one.shape == item.kind for one in chosen),
        "number": len(found) == item.count,
    }
    if item.colour:
        judged["colour"] = is_there and all(has_colour(one, item.colour) for one in chosen)
    if item.count == 1 and item.place:
        judged["place"] = is_there and _is_at(chosen[0], item.place)
    if item.count == 1 and item.size != "medium":
        judged["size"] = is_there and _size_of(chosen[0], item.kind) == item.size
    return judged


def _is_at(found: Found, place: str) -> bool:
    (x, y), (asked_x, asked_y) = found.centre, PLACES[place]
    return bool(np.hypot(x - asked_x, y - asked_y) <= _NEAR)


def _size_of(found: Found, kind: str) -> str:
    radius = found.extent / 2 / (_SQUARE if kind == "square" else 1.0)
    return min(SIZES, key=lambda name: abs(np.log(radius / SIZES[name])))


def _pair(said: Scene, found: list[Found]) -> Verdict:
    """The two largest objects, taken for the two items as fits best."""
    if len(found) < 2:
        return dict.fromkeys(("colour", "shape", "number", *(["relation"] if said.relation else [])), False)
    return max(
        (_matched(said, order, len(found)) for order in permutations(found[:2])),
        key=lambda judged: sum(judged.values()),
    )


def _matched(said: Scene, order: tuple[Found, ...], total: int) -> Verdict:
    pairs = list(zip(said.items, order, strict=True))
    judged = {
        "colour": all(has_colour(one, item.colour) for item, one in pairs),
        "shape": all(one.shape == item.kind for item, one in pairs),
        "number": total == 2,
    }
    if said.relation:
        judged["relation"] = _relation(*(one.centre for one in order)) == said.relation
    return judged


def _relation(first: tuple[float, float], second: tuple[float, float]) -> str:
    right, down = (a - b for a, b in zip(first, second, strict=True))
    if abs(right) > abs(down):
        return "right of" if right > 0 else "left of"
    return "below" if down > 0 else "above"


def _landscape(said: Scene, image: Image.Image) -> Verdict:
    names = colour_names(np.asarray(image).reshape(-1, 3), COLOURS | _AROUND).reshape(image.size)
    judged = {"day or night": _has(names, {"day": "sky", "night": "night"}[said.background])}
    for item in said.items:
        colour = item.colour or _USUAL.get(item.kind, "")
        is_high = item.kind in ("sun", "moon", "cloud")
        if item.kind == "house" and colour and item.second:
            judged["house"] = _is_house(names, colour, item.second)
        elif item.kind == "house" and item.second:
            judged["house"] = bool(_areas(names, item.second, _AREAS["roof"]))
        elif colour:
            areas = _areas(names, colour, _AREAS[item.kind])
            judged[item.kind] = any((_height(area) < _SKY_ENDS) == is_high for area in areas)
    return judged


def _is_house(names: np.ndarray, walls: str, roof: str) -> bool:
    """Whether an area of the roof's colour stands above one of the walls' colour."""
    below, above = _areas(names, walls, _AREAS["house"]), _areas(names, roof, _AREAS["roof"])
    return any(_height(high) < _height(low) for high in above for low in below)


def _has(names: np.ndarray, name: str) -> bool:
    """Whether most of the uppermost rows are of that colour."""
    return bool((names[:4] == name).mean() > 0.5)


def _areas(names: np.ndarray, name: str, least: int) -> list[Mask]:
    return [part for part in parts(names == name) if part.sum() >= least]


def _height(area: Mask) -> float:
    """How far below the upper border the area's middle is."""
    return float(np.argwhere(area)[:, 0].mean() / len(area))
