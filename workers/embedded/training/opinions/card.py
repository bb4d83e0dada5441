"""The model card: what the model is, how it was made, what was held out, what was measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workers.embedded.training.folder import record_of, weights_of
from workers.embedded.training.opinions.families import FORMS, TEXTS
from workers.embedded.training.opinions.heldout import (
    HELD_FORMS,
    HELD_TOPIC_WORDS,
    LINES,
    NEW_ROOTS,
    TOPICS,
)
from workers.embedded.training.opinions.judge import SETS, Figure
from workers.embedded.training.opinions.tokens import DROPPED_MERGES
from workers.embedded.training.opinions.train import Plan


def _row(figure: Figure) -> str:
    return f"| {figure.name} | {figure.accuracy:.1%} | {figure.total} |"


def _some(words: set[str]) -> str:
    """Eight of them, spread over the alphabet."""
    spread = sorted(words)
    return ", ".join(spread[:: max(1, len(spread) // 8)][:8])


def _shape(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    return {
        "layers": config["n_layers"],
        "hidden": config["dim"],
        "heads": config["n_heads"],
        "vocabulary": config["vocab_size"],
        "context": config["max_position_embeddings"],
    } | weights_of(folder)._asdict()


def _training(folder: Path) -> dict[str, Any]:
    record = record_of(folder)
    return record | {
        "batch": record["texts"] // record["steps"],
        "short": Plan(steps=1).short,
        "dropped": DROPPED_MERGES,
    }


def _held_out() -> dict[str, Any]:
    return {
        "num_patterns": len(LINES),
        "num_families": len({(form.root, form.sign) for form in FORMS}),
        "num_topics": len({topic for fields in TOPICS.values() for field in fields for topic in field}),
        "held_lines": sum(line.is_held_out for line in LINES),
        "held_topics": len(HELD_TOPIC_WORDS),
        "held_forms": len(HELD_FORMS),
        "held_roots": len(NEW_ROOTS),
        "held_families": len({form.root for form in FORMS if form.is_new_root}),
        "some_topics": _some(HELD_TOPIC_WORDS),
        "some_forms": _some(HELD_FORMS),
        "some_roots": _some(NEW_ROOTS),
    }


def write_card(folder: Path, figures: Sequence[Figure]) -> None:
    """Writes README.md beside the weights from what was trained and measured."""
    held_out, (paragraphs, free, weak) = figures[: len(SETS)], figures[len(SETS) :]
    card = (TEXTS / "card.md").read_text(encoding="utf-8")
    text = card.format(
        **_shape(folder),
        **_training(folder),
        **_held_out(),
        table="\n".join(map(_row, held_out)),
        mean=sum(figure.accuracy for figure in held_out) / len(held_out),
        paragraphs=_row(paragraphs),
        free=_row(free),
        weak=_row(weak),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
