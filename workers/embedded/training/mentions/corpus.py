"""The training text and the measure's text: endless rows of examples, the same for the same seed."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from random import Random

from workers.embedded.training.mentions.heldout import shared_templates
from workers.embedded.training.mentions.lists import read_lines
from workers.embedded.training.mentions.marks import NAMED, Example, read_by_hand, read_marks
from workers.embedded.training.mentions.names import Names
from workers.embedded.training.mentions.stories import draw_story
from workers.embedded.training.mentions.strangers import rename
from workers.embedded.training.mentions.writer import Writer

MEASURE_SEED, MEASURE_SENTENCES, FRESH_SENTENCES = 77, 2000, 1000

# In so many documents some words make way for others, so that names are not only known by their neighbours.
BLURRED, BLURRED_WORDS = 0.35, 0.2
# In so many documents strangers stand for the names.
RENAMED = 0.35
_UNMARKED = re.compile(rf"{NAMED}|(?<![\w'-])[a-z]{{3,}}\b")

# What a document is made of, and how often.
_KINDS = (
    ("sentence", 52),
    ("mixed", 16),
    ("fragment", 8),
    ("plain", 18),
    ("raw", 5),
    ("story", 4),
    ("prose", 3),
)


def documents(seed: int | str) -> Iterator[Example]:
    """The training text: documents of one to four sentences, without end."""
    dice = Random(seed)
    names = Names(dice, held_out=False)
    writer = Writer(dice, names, ("train", "plain"))
    kinds, weights = zip(*_KINDS, strict=True)
    while True:
        kind = dice.choices(kinds, weights)[0]
        text = draw_story(dice, names) if kind == "story" else _document(dice, writer, kind)
        text = rename(dice, text) if dice.random() < RENAMED else text
        yield read_marks(blur(dice, text, writer) if dice.random() < BLURRED else text)


def blur(dice: Random, marked: str, writer: Writer) -> str:
    """The marked text with some of its ordinary words replaced by others."""

    def replace(found: re.Match[str]) -> str:
        is_kept = not found[0].isalpha() or dice.random() > BLURRED_WORDS
        return found[0] if is_kept else writer[dice.choice(("noun", "thing", "adjective", "fake", "verb"))]

    return _UNMARKED.sub(replace, marked)


def _document(dice: Random, writer: Writer, kind: str) -> str:
    if kind in ("raw", "fragment", "prose"):
        return "\n".join(writer.sentence(kind) for _ in range(dice.choice((1, 1, 1, 2))))
    pool = ("sentence", "plain") if kind == "mixed" else (kind,)
    count = dice.choice((2, 3)) if kind == "mixed" else dice.choice((1, 1, 2, 3))
    return dice.choice((" ", " ", " ", "\n")).join(writer.sentence(dice.choice(pool)) for _ in range(count))


@cache
def measured(count: int = MEASURE_SENTENCES, grammar: str = "test") -> tuple[Example, ...]:
    """Sentences of a held-out grammar about held-out names."""
    dice = Random(MEASURE_SEED)
    writer = Writer(dice, Names(dice, held_out=True), (grammar,))
    return tuple(read_marks(writer.sentence("sentence")) for _ in range(count))


def fresh() -> tuple[Example, ...]:
    """As `measured`, of the grammar that was written last and that nothing was fitted to."""
    return measured(FRESH_SENTENCES, "fresh")


def plain_texts() -> tuple[Example, ...]:
    """Held-out text that names nothing."""
    return tuple(Example(line) for line in read_lines("plain_test")[""])


def written_texts() -> tuple[Example, ...]:
    """Text as people paste it, marked by hand; its names may be well known, its sentences are new."""
    return tuple(read_by_hand(line) for line in read_lines("wild")[""])


def sample(seed: int | str, count: int) -> list[Example]:
    """So many documents of the training text."""
    return list(islice(documents(seed), count))


def check_templates() -> None:
    """Raises RuntimeError if wordings of the measure stand in the training's grammar, too."""
    training = [line for name in ("train", "plain") for rows in read_lines(name).values() for line in rows]
    kept = [
        line
        for name in ("test", "fresh", "plain_test")
        for line in read_lines(name).get("sentence", read_lines(name)[""])
    ]
    shared = shared_templates(training, [*kept, *(one.text for one in written_texts())])
    if shared:
        raise RuntimeError(f"wordings of the measure in the training's grammar: {sorted(shared)}")
