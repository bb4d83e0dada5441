"""Pairs of a text and its summary for training: an endless seeded row."""

from random import Random

from workers.embedded.training.summary.extracts import draw_extract
from workers.embedded.training.summary.reports import draw_report
from workers.embedded.training.summary.worn import wear

SHARE_REPORTS = 0.6
# Ids of the tokenizer's marks: the end of a text, and its begin.
_END_ID, _BEGIN_ID = 1, 2


def draw_pair(dice: Random) -> tuple[str, str]:
    """A report with its reference summary, or any text with its first real sentence."""
    if dice.random() < SHARE_REPORTS:
        report = draw_report(dice, wear=wear)
        return report.text, report.summary
    return draw_extract(dice)


def drill(dice: Random, vocabulary: int, rows: int) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of random tokens in `sentences`; the first is to be copied, up to the token that ends each.

    Few tokens make up half of each row, as in a real text: one look back at a token is not enough.
    """
    stop, sources, targets = 16, [], []
    common = dice.sample(range(20, vocabulary), 25)
    for _ in range(rows):
        parts = [_drilled(dice, common, vocabulary, stop) for _ in range(dice.randint(1, 4))]
        sources.append([_BEGIN_ID, *(token for part in parts for token in part), _END_ID])
        targets.append([*parts[0], _END_ID])
    return sources, targets


def _drilled(dice: Random, common: list[int], vocabulary: int, stop: int) -> list[int]:
    some = (
        dice.choice(common) if dice.random() < 0.5 else dice.randrange(20, vocabulary)
        for _ in range(dice.randint(4, 16))
    )
    return [*some, stop]
