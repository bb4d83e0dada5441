"""Documents of no known kind, whose summary is their first real sentence, word for word.

They teach what to do with any text: copy a sentence, invent nothing. Their words come from everywhere
that the project has some, and many are words of no language.
"""

from functools import cache
from random import Random

from workers.embedded.training.cast import draw_cast
from workers.embedded.training.chats import draw_single
from workers.embedded.training.grammar import expand, polish, sentences
from workers.embedded.training.plots import draw_plot
from workers.embedded.training.stories import tell, tell_long
from workers.embedded.training.summary.facts import draw_facts
from workers.embedded.training.summary.reports import ASIDES, KINDS, glue
from workers.embedded.training.texts import values
from workers.embedded.training.translation.lexicon import pseudo_name
from workers.embedded.training.translation.sentences import draw
from workers.embedded.training.words import FAMILY

_SMALL_WORDS = [
    "the",
    "a",
    "of",
    "in",
    "to",
    "and",
    "for",
    "with",
    "on",
    "at",
    "by",
    "from",
    "that",
    "which",
    "is",
    "was",
    "are",
    "were",
    "has",
    "had",
    "will",
    "can",
    "not",
    "it",
    "its",
    "their",
    "this",
    "as",
    "but",
    "or",
    "when",
    "who",
    "after",
    "before",
    "between",
    "under",
    "over",
    "than",
    "more",
    "most",
    "no",
    "all",
    "some",
    "other",
    "into",
    "about",
]
_ENDINGS = [
    "s",
    "ed",
    "ing",
    "ly",
    "er",
    "ion",
    "al",
    "ment",
    "ness",
    "ity",
    "ous",
    "ive",
    "able",
    "ist",
    "ism",
]
_MIN_WORDS = 4


def lead(parts: list[str]) -> str:
    """The first sentence of at least four words; of any length where there is none."""
    return next((one for one in parts if len(one.split()) >= _MIN_WORDS), parts[0])


@cache
def vocabulary() -> list[str]:
    """Every word of a stretch of the project's other texts."""
    dice, words = Random(8), dict[str, None]()
    for _ in range(1500):
        for text in (
            _story(dice),
            draw(dice).en,
            _answer(dice),
            polish(expand(dice, _detail(dice), draw_facts(dice))),
        ):
            words |= dict.fromkeys(word.strip('.,:;!?"()') for word in text.split())
    return [word for word in words if word]


def _story(dice: Random) -> str:
    cast = draw_cast(dice)
    plot = draw_plot(dice, FAMILY[cast.thing])
    return (tell_long if dice.random() < 0.3 else tell)(dice, cast, plot)


def _answer(dice: Random) -> str:
    return draw_single(dice)[1]


def _detail(dice: Random) -> str:
    return dice.choice(ASIDES if dice.random() < 0.2 else values(KINDS[dice.choice(tuple(KINDS))], "more"))


def _odd_word(dice: Random) -> str:
    """A word of no language, a number, or a word with a hyphen."""
    draw_ = dice.random()
    if draw_ < 0.06:
        return str(dice.choice((dice.randint(1, 40), dice.randint(1000, 2100), dice.randint(1, 10**6))))
    word = pseudo_name(dice)
    if draw_ < 0.7:
        word = word.lower() + (dice.choice(_ENDINGS) if dice.random() < 0.4 else "")
    if draw_ > 0.97:
        word = word.upper()
    return f"{word}-{pseudo_name(dice).lower()}" if dice.random() < 0.04 else word


def _salad(dice: Random) -> str:
    """A sentence of words that do not belong together."""
    known, share, small = vocabulary(), dice.choice((0.1, 0.4, 0.9)), dice.choice((0.3, 0.45))
    words: list[str] = []
    for _ in range(dice.choice((5, 8, 11, 14, 18, 24, 30))):
        if dice.random() < small:
            word = dice.choice(_SMALL_WORDS)
        else:
            word = _odd_word(dice) if dice.random() < share else dice.choice(known)
        words.append(word + ("," if dice.random() < 0.07 else ""))
    text = " ".join(words).strip(",") + dice.choice(".......?!")
    if dice.random() < 0.06:
        text = f'"{text}"'
    return text[0].upper() + text[1:]


def _whole(dice: Random) -> list[str]:
    """A story or a talk, in its own order."""
    parts: list[str] = []
    size = dice.randint(3, 12)
    while len(parts) < size:
        parts += sentences(_story(dice) if dice.random() < 0.75 else _answer(dice))
    return parts[:size]


def _single(dice: Random) -> str:
    which = dice.random()
    if which < 0.5:
        return _salad(dice)
    if which < 0.75:
        return draw(dice).en
    return polish(expand(dice, _detail(dice), draw_facts(dice)))


def draw_extract(dice: Random) -> tuple[str, str]:
    """A text and its first real sentence."""
    if dice.random() < 0.25:
        parts = _whole(dice)
    else:
        parts = [_single(dice) for _ in range(dice.choice((1, 2, 2, 3, 3, 4, 5, 6, 8, 10)))]
    return glue(dice).join(parts), lead(parts)
