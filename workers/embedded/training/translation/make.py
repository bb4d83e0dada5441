"""`scripts/train_embedded translation`."""

from collections.abc import Sequence
from pathlib import Path

from workers.embedded import TRANSLATION
from workers.embedded.training.seq2seq_make import Recipe, run, say
from workers.embedded.training.translation.card import write_card
from workers.embedded.training.translation.corpus import draw_pair
from workers.embedded.training.translation.evaluate import evaluate
from workers.embedded.training.translation.glossary import draw_glossary
from workers.embedded.training.translation.plan import MAX_TOKENS, PLAN


def _judge(folder: Path, work: Path) -> None:
    write_card(folder, work, evaluate(folder, say))


RECIPE = Recipe(
    folder=TRANSLATION,
    plan=PLAN,
    draw=draw_pair,
    max_tokens=MAX_TOKENS,
    max_new_tokens=MAX_TOKENS,
    judge=_judge,
    tokenizer_pairs=30_000,
    primer=draw_glossary,
)


def main(argv: Sequence[str]) -> int:
    """Makes or judges the shipped folder; returns the exit status."""
    return run(RECIPE, argv)
