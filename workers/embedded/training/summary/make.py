"""`scripts/train_embedded summary`."""

from collections.abc import Sequence
from pathlib import Path

from workers.embedded import SUMMARY
from workers.embedded.training.seq2seq_make import Recipe, run, say
from workers.embedded.training.summary.card import write_card
from workers.embedded.training.summary.corpus import draw_pair, drill
from workers.embedded.training.summary.evaluate import evaluate
from workers.embedded.training.summary.plan import MAX_NEW_TOKENS, MAX_TOKENS, NO_REPEAT, PLAN


def _judge(folder: Path, work: Path) -> None:
    write_card(folder, work, evaluate(folder, say))


RECIPE = Recipe(
    folder=SUMMARY,
    plan=PLAN,
    draw=draw_pair,
    max_tokens=MAX_TOKENS,
    max_new_tokens=MAX_NEW_TOKENS,
    judge=_judge,
    tokenizer_pairs=12_000,
    begin=True,
    no_repeat=NO_REPEAT,
    drill=drill,
)


def main(argv: Sequence[str]) -> int:
    """Makes or judges the shipped folder; returns the exit status."""
    return run(RECIPE, argv)
