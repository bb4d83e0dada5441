"""Documents of known kinds and their reference summaries, written from the same facts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from workers.embedded.training.grammar import expand, polish
from workers.embedded.training.summary.facts import Facts, draw_facts
from workers.embedded.training.texts import Block, read_blocks, values

_SLOT = re.compile(r"\{(\w+)\}")
_BLOCKS = {block[0][1]: block for block in read_blocks("summary")}
ASIDES = values(_BLOCKS["asides"], "aside")
KINDS = {kind: block for kind, block in _BLOCKS.items() if kind not in ("words", "asides")}
# How many details a report has: most are short, some are long.
_SIZES, _SIZE_WEIGHTS = (0, 1, 2, 3, 4, 5, 7, 9, 12), (4, 10, 14, 14, 12, 10, 8, 5, 3)


@dataclass(frozen=True)
class Report:
    """A text, its reference summary, and the facts that a right summary names."""

    kind: str
    text: str
    summary: str
    facts: tuple[str, ...]


def wordings(block: Block, key: str, new: bool) -> tuple[str, ...]:
    """The templates of training; `new` adds the held-out ones, which then come alone if there are any."""
    return (values(block, f"new {key}") if new else ()) or values(block, key)


def _main(dice: Random, block: Block, new: bool) -> list[str]:
    """One sentence with every main fact, or two that share them."""
    whole, leads = wordings(block, "all", new), wordings(block, "lead", new)
    use_whole = dice.random() < 0.4
    if new:
        has_all, has_lead = (bool(values(block, f"new {key}")) for key in ("all", "lead"))
        use_whole = has_all and (use_whole or not has_lead)
    if use_whole:
        return [dice.choice(whole)]
    return [dice.choice(leads), dice.choice(wordings(block, "rest", new))]


def _extras(dice: Random, block: Block, new: bool) -> list[tuple[str, str]]:
    """Up to two further facts, each as the text and as the summary tell it."""
    found: dict[str, str] = {}
    rows = values(block, "extra") + (values(block, "new extra") if new else ())
    for _ in range(dice.choice((0, 1, 1, 2))):
        told, _, summed = dice.choice(rows).partition(" = ")
        found.setdefault(summed, told)
    return [(told, summed) for summed, told in found.items()][:1]


def _details(dice: Random, block: Block) -> list[str]:
    own = values(block, "more")
    size = dice.choices(_SIZES, _SIZE_WEIGHTS)[0]
    kept = dice.sample(own, min(size, len(own), dice.randint(1, len(own))))
    return kept + dice.sample(ASIDES, min(size - len(kept), len(ASIDES)))


def glue(dice: Random) -> str:
    """What stands between two sentences: mostly a space, in some texts every one begins a line."""
    return dice.choices((" ", "\n", "\n\n"), (94, 3, 3))[0]


def _arranged(dice: Random, main: list[str], extras: list[str], more: list[str]) -> list[str]:
    others = [*extras, *more]
    dice.shuffle(others)
    if len(main) == 2 and dice.random() < 0.25 and others:
        others.insert(1, main.pop())
    before = dice.choice((1, 2)) if dice.random() < 0.15 else 0
    return [*others[:before], *main, *others[before:]]


def draw_report(
    dice: Random, new: bool = False, kind: str = "", wear: Callable[[Random, str], str] | None = None
) -> Report:
    """A report of some kind; `new` words its main point as the training never does.

    `wear` changes words of the templates of the main point, but no slot.
    """
    kind = kind or dice.choice(tuple(KINDS))
    block, facts = KINDS[kind], draw_facts(dice)
    main, extras = _main(dice, block, new), _extras(dice, block, new)
    if wear:
        main = [wear(dice, one) for one in main]
    told = _arranged(dice, main, [one for one, _ in extras], _details(dice, block))
    target = " ".join([values(block, "target")[0], *(summed for _, summed in extras)])
    return Report(
        kind, _written(dice, glue(dice).join(told), facts), _written(dice, target, facts), _key(target, facts)
    )


def _written(dice: Random, text: str, facts: Facts) -> str:
    return polish(expand(dice, text, facts)).replace("by foot", "on foot")


def _key(target: str, facts: Facts) -> tuple[str, ...]:
    """The values of the slots of the summary, without their articles."""
    found = dict.fromkeys(facts[name].removeprefix("a(n) ") for name in _SLOT.findall(target))
    return tuple(found)
