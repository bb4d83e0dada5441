"""Draws scenes with Pillow: four times too large, then scaled down, so that edges are smooth."""

import math
from random import Random

from PIL import Image, ImageDraw

from workers.embedded.training.scenes.palette import BACKGROUNDS, COLOURS, GRASS, NIGHT, NIGHT_GRASS, RGB, SKY
from workers.embedded.training.scenes.scene import ARRAYS, PLACES, SIDE, SIZES, Item, Scene, with_open_places

_SCALE = 4
_FULL = SIDE * _SCALE
_HORIZON = 0.72
Point = tuple[float, float]


def draw(scene: Scene, dice: Random) -> Image.Image:
    """The picture of a scene, `SIDE` pixels square; the dice decide what the scene leaves open."""
    scene = with_open_places(scene, dice)
    if scene.background in BACKGROUNDS:
        image = Image.new("RGB", (_FULL, _FULL), BACKGROUNDS[scene.background])
        _draw_objects(ImageDraw.Draw(image), scene, dice)
    else:
        image = Image.new("RGB", (_FULL, _FULL), SKY if scene.background == "day" else NIGHT)
        _draw_landscape(ImageDraw.Draw(image), scene, dice)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _draw_objects(pen: ImageDraw.ImageDraw, scene: Scene, dice: Random) -> None:
    for item in scene.items:
        spots = ARRAYS[item.count] if item.count > 1 else (PLACES[item.place],)
        for spot in spots:
            radius = SIZES[item.size] * _SCALE * dice.uniform(0.93, 1.07)
            if item.count > 1 or len(scene.items) > 1:
                radius *= 0.82
            draw_shape(pen, item.kind, _inside(spot, radius, dice), radius, COLOURS[item.colour])


def _inside(spot: Point, radius: float, dice: Random) -> Point:
    """The spot with a little chance, moved so that the object stays within the picture."""
    low, high = radius * 1.06, _FULL - radius * 1.06
    return tuple(  # type: ignore[return-value]
        min(max(share * _FULL + dice.uniform(-1.5, 1.5) * _SCALE, low), high) for share in spot
    )


def draw_shape(pen: ImageDraw.ImageDraw, kind: str, centre: Point, radius: float, colour: RGB) -> None:
    """One of `SHAPES` that fills a square of twice the radius as far as its form allows."""
    x, y = centre
    match kind:
        case "circle":
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        case "ring":
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, outline=colour, width=round(radius * 0.36))
        case "square":
            half = radius * 0.88
            pen.rectangle((x - half, y - half, x + half, y + half), fill=colour)
        case "cross":
            arm = radius * 0.3
            pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=colour)
            pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=colour)
        case _:
            pen.polygon([(x + radius * a, y + radius * b) for a, b in _OUTLINES[kind]], fill=colour)


def _star() -> list[Point]:
    turns = [(at, 1.05 if at % 2 == 0 else 0.44) for at in range(10)]
    return [(far * math.sin(at * math.pi / 5), 0.06 - far * math.cos(at * math.pi / 5)) for at, far in turns]


def _heart() -> list[Point]:
    angles = [step * math.tau / 60 for step in range(60)]
    return [
        (
            math.sin(a) ** 3,
            -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 15.5 - 0.12,
        )
        for a in angles
    ]


_OUTLINES: dict[str, list[Point]] = {
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "diamond": [(0, -1.05), (0.8, 0), (0, 1.05), (-0.8, 0)],
    "star": _star(),
    "heart": _heart(),
}


def _draw_landscape(pen: ImageDraw.ImageDraw, scene: Scene, dice: Random) -> None:
    horizon = (_HORIZON + dice.uniform(-0.03, 0.03)) * _FULL
    grass = GRASS if scene.background == "day" else NIGHT_GRASS
    pen.rectangle((0, horizon, _FULL, _FULL), fill=grass)
    if scene.background == "night":
        _draw_stars(pen, dice)
    spots = _spots(scene, dice)
    for item in scene.items:
        _THINGS[item.kind](pen, item, spots[item.kind] * _FULL, horizon, dice)


def _spots(scene: Scene, dice: Random) -> dict[str, float]:
    """How far from the left each thing is: apart from each other on the ground, and in the sky."""
    ground = [item.kind for item in scene.items if item.kind in ("house", "tree", "flower")]
    shares = [0.3, 0.74] if len(ground) > 1 else [0.5 + dice.uniform(-0.08, 0.08)]
    dice.shuffle(shares)
    high = dice.choice((0.2, 0.8))
    return {item.kind: high for item in scene.items} | dict(zip(ground, shares, strict=False))


def _draw_stars(pen: ImageDraw.ImageDraw, dice: Random) -> None:
    for _ in range(7):
        x, y = dice.uniform(0.05, 0.95) * _FULL, dice.uniform(0.04, 0.4) * _FULL
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(240, 240, 220))


def _house(pen: ImageDraw.ImageDraw, item: Item, x: float, horizon: float, dice: Random) -> None:
    half = dice.uniform(0.16, 0.19) * _FULL
    foot, eaves = horizon + 0.06 * _FULL, horizon - 1.15 * half
    pen.rectangle((x - half, eaves, x + half, foot), fill=COLOURS[item.colour])
    roof = [(x - half * 1.25, eaves), (x, eaves - half * 1.05), (x + half * 1.25, eaves)]
    pen.polygon(roof, fill=COLOURS[item.second])
    pen.rectangle((x - half * 0.22, foot - half * 0.8, x + half * 0.22, foot), fill=(70, 44, 28))
    for side in (-1, 1):
        left = x + side * half * 0.6 - half * 0.2
        top = eaves + half * 0.25
        pen.rectangle((left, top, left + half * 0.4, top + half * 0.4), fill=(226, 240, 250))


def _tree(pen: ImageDraw.ImageDraw, item: Item, x: float, horizon: float, dice: Random) -> None:
    crown = dice.uniform(0.13, 0.16) * _FULL
    foot = horizon + 0.07 * _FULL
    pen.rectangle((x - crown * 0.2, horizon - crown, x + crown * 0.2, foot), fill=COLOURS["brown"])
    for dx, dy in ((-0.5, 0), (0.5, 0), (0, -0.6)):
        cx, cy = x + dx * crown, horizon - 1.5 * crown + dy * crown
        leaf = crown * 0.8
        pen.ellipse((cx - leaf, cy - leaf, cx + leaf, cy + leaf), fill=COLOURS[item.colour])


def _flower(pen: ImageDraw.ImageDraw, item: Item, x: float, horizon: float, dice: Random) -> None:
    petal = dice.uniform(0.065, 0.08) * _FULL
    foot, head = horizon + 0.12 * _FULL, horizon - 0.14 * _FULL
    pen.rectangle((x - 5, head, x + 5, foot), fill=COLOURS["green"])
    for turn in range(6):
        cx = x + 1.25 * petal * math.cos(turn * math.pi / 3)
        cy = head + 1.25 * petal * math.sin(turn * math.pi / 3)
        pen.ellipse((cx - petal, cy - petal, cx + petal, cy + petal), fill=COLOURS[item.colour])
    middle = COLOURS["brown" if item.colour in ("yellow", "orange") else "yellow"]
    pen.ellipse((x - petal * 0.8, head - petal * 0.8, x + petal * 0.8, head + petal * 0.8), fill=middle)


def _sun(pen: ImageDraw.ImageDraw, item: Item, x: float, horizon: float, dice: Random) -> None:  # noqa: ARG001
    radius, y = dice.uniform(0.095, 0.115) * _FULL, 0.2 * _FULL
    colour = COLOURS[item.colour]
    for turn in range(8):
        dx, dy = math.cos(turn * math.pi / 4), math.sin(turn * math.pi / 4)
        ends = [(x + far * radius * dx, y + far * radius * dy) for far in (1.25, 1.65)]
        pen.line(ends, fill=colour, width=9)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _moon(pen: ImageDraw.ImageDraw, item: Item, x: float, horizon: float, dice: Random) -> None:  # noqa: ARG001
    radius, y = dice.uniform(0.1, 0.12) * _FULL, 0.2 * _FULL
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 246, 214))
    off, up = radius * 0.55, radius * 0.55 * 0.3
    pen.ellipse((x - radius + off, y - radius - up, x + radius + off, y + radius - up), fill=NIGHT)


def _cloud(pen: ImageDraw.ImageDraw, item: Item, x: float, horizon: float, dice: Random) -> None:  # noqa: ARG001
    size, y = dice.uniform(0.075, 0.09) * _FULL, 0.2 * _FULL
    for dx, dy, share in ((-1.1, 0.2, 0.8), (0, -0.1, 1.1), (1.1, 0.2, 0.8)):
        cx, cy, radius = x + dx * size, y + dy * size, share * size
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=COLOURS[item.colour])


_THINGS = {"house": _house, "tree": _tree, "flower": _flower, "sun": _sun, "moon": _moon, "cloud": _cloud}
