"""Pairs of texts for training, an endless seeded row, and the sentences that it never contains."""

from itertools import count
from random import Random
from typing import Literal

from workers.embedded.training.translation.sentences import Sentence, draw

Pair = tuple[str, str]
Kind = Literal["seen", "pair", "strict"]


def is_kept_back(sentence: Sentence) -> bool:
    """Whether only the evaluation may use this sentence."""
    return sentence.has_new_pair or sentence.is_strict


def _seen(dice: Random) -> Sentence:
    return next(one for one in (draw(dice) for _ in count()) if not is_kept_back(one))


def draw_pair(dice: Random) -> Pair:
    """One to three sentences of training text in English and in German."""
    many = dice.choices((1, 2, 3), (72, 20, 8))[0]
    some = [_seen(dice) for _ in range(many)]
    en, de = (" ".join(texts) for texts in ([one.en for one in some], [one.de for one in some]))
    if dice.random() < 0.03 and en[-1] == de[-1] == ".":
        return en[:-1], de[:-1]
    return en, de


def held_out(seed: int, kind: Kind, size: int) -> list[Sentence]:
    """Sentences of one kind: like those of the training, with a new pair, or with a rare word elsewhere."""
    dice, found = Random(seed), dict[str, Sentence]()
    while len(found) < size:
        one = draw(dice)
        if (kind == "strict" and one.is_strict) or (
            kind == "pair" and one.has_new_pair and not one.is_strict
        ):
            found[one.en] = one
        if kind == "seen" and not is_kept_back(one) and one.pattern != "phrase":
            found[one.en] = one
    return list(found.values())
