"""Says what a scene holds, in many wordings."""

from dataclasses import replace
from random import Random

from workers.embedded.training.grammar import write
from workers.embedded.training.scenes.scene import LANDSCAPES, Item, Scene

_SIZES = {"small": "[small|small|little|tiny]", "medium": "", "big": "[big|big|large|huge]"}
_COUNTS = {2: "[two|two|2|a pair of]", 3: "[three|three|3]", 4: "[four|four|4]"}
_PLACES = {
    "centre": "in the [middle|centre|center]",
    "left": "[on the left|on the left side|at the left|to the left]",
    "right": "[on the right|on the right side|at the right|to the right]",
    "top": "at the top",
    "bottom": "at the bottom",
    "top left": "in the [top|upper] left[| corner]",
    "top right": "in the [top|upper] right[| corner]",
    "bottom left": "in the [bottom|lower] left[| corner]",
    "bottom right": "in the [bottom|lower] right[| corner]",
}
_RELATIONS = {
    "left of": "[to the left of|left of|on the left of]",
    "right of": "[to the right of|right of|on the right of]",
    "above": "[above|over|on top of]",
    "below": "[below|under|beneath]",
}
_KINDS = {
    "circle": "[circle|circle|disc|dot]",
    "square": "[square|square|box]",
    "ring": "[ring|ring|hoop]",
    "cross": "[cross|cross|plus sign]",
    "diamond": "[diamond|diamond|rhombus]",
}
_ON = (
    "[on a(n) {ground} background|on {ground}"
    "|in front of a(n) {ground} background|with a(n) {ground} background]"
)
_OPENINGS = (
    "[|||a picture of |an image of |a drawing of |draw |paint |show me |please draw |a simple picture of ]"
)
# Wordings that training never uses: those of the card's figures on new wordings.
NEW_OPENINGS = "[an illustration of |can you make |a photo with |make me a nice picture that shows ]"
_FILLERS = ("nice", "beautiful", "simple", "pretty", "lovely", "flat", "clean", "bright", "cute")


def said(scene: Scene, dice: Random) -> Scene:
    """What of a scene a prompt will say: an attribute that it leaves out is "" then.

    A background is left out only where it is white, so that one who says nothing gets white.
    """
    items = tuple(_said(item, dice) for item in scene.items)
    is_open = scene.background == "white" and dice.random() < 0.5
    return Scene("" if is_open else scene.background, items, scene.relation)


def _said(item: Item, dice: Random) -> Item:
    if item.kind == "house":
        kept = dice.choices(((1, 1), (1, 0), (0, 1), (0, 0)), (60, 15, 15, 10))[0]
        return replace(item, colour=item.colour * kept[0], second=item.second * kept[1])
    is_plain = (item.kind, item.colour) in (("tree", "green"), ("sun", "yellow"), ("cloud", "white"))
    share = 0.6 if is_plain else 0.05
    return replace(item, colour="") if dice.random() < share else item


def caption(scene: Scene, dice: Random, openings: str = _OPENINGS) -> str:
    """One wording of what `said` left of a scene."""
    body = _landscape(scene, dice) if scene.background in LANDSCAPES else _plain(scene, dice)
    text = write(dice, openings + body)
    if dice.random() < 0.06:
        words = text.split(" ")
        words.insert(dice.randrange(len(words)), _stray(dice))
        text = " ".join(words)
    return text[0].lower() + text[1:] if dice.random() < 0.7 else text + dice.choice(("", "."))


def _stray(dice: Random) -> str:
    """A word that says nothing of the scene: one of praise, or one that nobody knows."""
    if dice.random() < 0.5:
        return dice.choice(_FILLERS)
    return "".join(dice.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(dice.randint(3, 8)))


def _noun(item: Item) -> str:
    kind = _KINDS.get(item.kind, item.kind)
    if item.count == 1:
        return f"a(n) {_SIZES[item.size]} {item.colour} {kind}"
    plural = {"box": "boxes", "cross": "crosses", "rhombus": "rhombuses"}
    words = kind.strip("[]").split("|")
    many = "|".join(plural.get(word, word + "s") for word in words)
    return f"{_COUNTS[item.count]} {_SIZES[item.size]} {item.colour} [{many}]"


def _plain(scene: Scene, dice: Random) -> str:
    ground = _ON.replace("{ground}", scene.background) if scene.background else ""
    first = _noun(scene.items[0])
    if len(scene.items) == 2:
        second = _noun(scene.items[1])
        if not scene.relation:
            return f"{first} [and|and|next to|beside|with] {second} {ground}"
        return f"{first} {_RELATIONS[scene.relation]} {second} {ground}"
    place = scene.items[0].place
    where = _PLACES[place] if place else ""
    if where and dice.random() < 0.2:
        return f"{first} {ground} {where}"
    return f"{first} {where} {ground}"


def _thing(item: Item) -> str:
    name = "the " if item.kind in ("sun", "moon") else "a(n) "
    thing = f"{name}{item.colour} {item.kind}"
    if item.second:
        roof = f"a(n) {item.second} roof"
        if not item.colour:
            return f"a house with {roof}"
        return f"[{thing} with {roof}|{thing} with {roof}|a house with {item.colour} walls and {roof}]"
    return thing


def _landscape(scene: Scene, dice: Random) -> str:
    is_night = scene.background == "night"
    ground = [_thing(item) for item in scene.items if item.kind in ("house", "tree", "flower")]
    sky = [_thing(item) for item in scene.items if item.kind in ("sun", "moon", "cloud")]
    dice.shuffle(ground)
    if not ground:
        joined = sky[0] + " [over a green field|in the sky over grass|in the sky]"
    else:
        joined = " [and|next to|beside|and] ".join(ground)
        if sky:
            joined += f" [under {sky[0]}|and {sky[0]}|with {sky[0]} in the sky|below {sky[0]}]"
    if is_night:
        return joined + " [at night|in the night|at night time]"
    return joined + " [||||on a sunny day|during the day|by day|on the grass]"
