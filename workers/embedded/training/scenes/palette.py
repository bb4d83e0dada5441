"""The colours of the little world, by the names that prompts call them."""

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (214, 40, 40),
    "orange": (245, 138, 20),
    "yellow": (252, 214, 36),
    "green": (34, 150, 62),
    "turquoise": (44, 196, 186),
    "blue": (36, 82, 214),
    "purple": (132, 48, 176),
    "pink": (246, 132, 184),
    "brown": (126, 78, 40),
    "black": (22, 22, 24),
    "white": (250, 250, 250),
    "grey": (138, 140, 144),
}
BACKGROUNDS: dict[str, RGB] = {
    "white": COLOURS["white"],
    "black": COLOURS["black"],
    "grey": COLOURS["grey"],
    "light blue": (168, 210, 248),
    "light green": (190, 232, 178),
    "cream": (246, 234, 204),
    "dark blue": (18, 26, 84),
}
# What would hardly be seen on a background, because it is nearly the same.
UNSEEN = {
    ("white", "white"),
    ("black", "black"),
    ("grey", "grey"),
    ("white", "cream"),
    ("black", "dark blue"),
}
SKY, NIGHT = (150, 204, 250), BACKGROUNDS["dark blue"]
GRASS, NIGHT_GRASS = (104, 184, 80), (26, 74, 44)


def stands_out(colour: str, background: str) -> bool:
    """Whether an object of that colour is plainly seen there."""
    return (colour, background) not in UNSEEN


def nearest(rgb: tuple[float, float, float], names: dict[str, RGB]) -> str:
    """The name of the closest colour, by the weighted distance that follows the eye (compuphase)."""

    def distance(name: str) -> float:
        other = names[name]
        mean = (rgb[0] + other[0]) / 2
        red, green, blue = (a - b for a, b in zip(rgb, other, strict=True))
        return (2 + mean / 256) * red**2 + 4 * green**2 + (2 + (255 - mean) / 256) * blue**2

    return min(names, key=distance)
