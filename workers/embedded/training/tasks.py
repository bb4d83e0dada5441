"""Small instructions: lists, counting, sums, repeating, capitals, sentences with a word."""

from random import Random

from workers.embedded.training.grammar import write
from workers.embedded.training.texts import parted, read_wordings
from workers.embedded.training.words import ANIMALS, FAMILY, PLACES

_TASKS = read_wordings("tasks")
_NUMBERS = _TASKS["numbers"][0].split()
_FILLED = {"{animals}": list(ANIMALS), "{places}": list(PLACES)}
_LISTS = {name: _FILLED.get(row, row.split(", ")) for name, row in parted(_TASKS["list"])}
_ORDERED = ("days", "seasons")
_EXTRA_WORDS = ("hello", "stream", "friend")

Asked = tuple[str, str]


def draw_task(dice: Random) -> Asked:
    """An instruction and what comes of it."""
    often = (_list, _list, _count, _count, _sum, _sum, _sum, _repeat, _repeat)
    return dice.choice((*often, _upper, _sentence, _spell, _choose))(dice)


def _phrase(dice: Random) -> str:
    kind = ANIMALS[dice.choice(tuple(ANIMALS))]
    adjective = dice.choice(("red", "blue", "green", "small", "big", "old", "new", "round"))
    slots = {"kind": kind.name, "plural": kind.plural, "food": kind.food, "adj": adjective}
    slots["thing"] = dice.choice(tuple(FAMILY))
    phrase = dice.choice(_TASKS["phrase"])
    # What is to be repeated keeps its small letters, so it is filled but not polished.
    for name, value in slots.items():
        phrase = phrase.replace("{" + name + "}", value)
    return phrase


def _list(dice: Random) -> Asked:
    what = dice.choice(tuple(_LISTS))
    many = dice.randint(2, min(6, len(_LISTS[what])))
    drawn = dice.sample(_LISTS[what], many)
    if what in _ORDERED:
        drawn.sort(key=_LISTS[what].index)
    number = dice.choice((_NUMBERS[many], _NUMBERS[many], str(many)))
    answer = _listed(dice.random(), f"Here are {_NUMBERS[many]} {what}:", drawn)
    ask = dice.choice(_TASKS["list ask"])
    return write(dice, ask, {"n": number, "what": what}), answer[0].upper() + answer[1:]


def _listed(style: float, title: str, items: list[str]) -> str:
    inline = f"{', '.join(items[:-1])} and {items[-1]}."
    if style < 0.25:
        return "\n".join(f"- {item}" for item in items)
    return f"{title} {inline}" if style < 0.6 else inline


def _count(dice: Random) -> Asked:
    first = dice.choice((1, 1, dice.randint(0, 14)))
    last = min(20, first + dice.randint(2, 9))
    is_down = dice.random() < 0.2
    run = list(range(first, last + 1))[:: -1 if is_down else 1]
    is_worded = dice.random() < 0.15
    start, end = (_NUMBERS[n] if is_worded else str(n) for n in (run[0], run[-1]))
    ask = dice.choice(_TASKS["count down ask" if is_down else "count ask"])
    return write(dice, ask, {"a": start, "b": end}), ", ".join(map(str, run)) + "."


def _sum(dice: Random) -> Asked:
    a, b = dice.randint(0, 10), dice.randint(0, 10)
    is_minus = dice.random() < 0.35
    a, b = (max(a, b), min(a, b)) if is_minus else (a, b)
    result = a - b if is_minus else a + b
    word, sign = ("minus", "-") if is_minus else ("plus", "+")
    if dice.random() < 0.2:
        left = f"{_NUMBERS[a]} {word} {_NUMBERS[b]}"
        return f"What is {left}?", write(dice, f"{left} is {_NUMBERS[result]}.")
    asks = (
        f"What is {a} {sign} {b}?",
        f"{a} {sign} {b}",
        f"{a} {sign} {b} = ?",
        f"How much is {a} {sign} {b}?",
        f"What is {a} {word} {b}?",
        f"Calculate {a} {sign} {b}.",
        f"what's {a}{sign}{b}",
        f"Take {b} away from {a}." if is_minus else f"Add {a} and {b}.",
    )
    answers = (f"{a} {sign} {b} = {result}", f"{a} {word} {b} is {result}.", f"The answer is {result}.")
    return dice.choice(asks), dice.choice(answers)


def _about(dice: Random, key: str, text: str) -> str:
    return dice.choice(_TASKS[key]).replace("{p}", text)


def _repeat(dice: Random) -> Asked:
    phrase = _phrase(dice)
    return _about(dice, "repeat ask", phrase), phrase


def _upper(dice: Random) -> Asked:
    word = dice.choice((*ANIMALS, *FAMILY, *PLACES, *_EXTRA_WORDS))
    return _about(dice, "upper ask", word), word.upper()


def _spell(dice: Random) -> Asked:
    word = dice.choice((*ANIMALS, *FAMILY, *PLACES))
    return _about(dice, "spell ask", word), "-".join(word.upper())


def _sentence(dice: Random) -> Asked:
    slots = {"p": dice.choice((*ANIMALS, *FAMILY))}
    ask = write(dice, dice.choice(_TASKS["sentence ask"]), slots)
    return ask, write(dice, dice.choice(_TASKS["sentence"]), slots)


def _choose(dice: Random) -> Asked:
    first, second = dice.sample((*ANIMALS, *FAMILY), 2)
    slots = {"a": first, "b": second, "c": dice.choice((first, second))}
    ask = dice.choice(_TASKS["choose ask"])
    answer = "I would choose the {c}[.|, because it makes a good story.|, but both are fine.]"
    return write(dice, ask, slots), write(dice, answer, slots)
