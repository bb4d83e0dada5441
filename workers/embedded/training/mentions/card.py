"""The model card: what the pipeline is, how it was made, what was measured, what it cannot do."""

import json
from collections.abc import Callable
from pathlib import Path

from workers.embedded.training.mentions.corpus import RENAMED
from workers.embedded.training.mentions.judge import Evaluation, Score
from workers.embedded.training.mentions.model import DEPTH, ROWS, WIDTH

_CARD = Path(__file__).parent / "texts" / "card.md"


def table(scores: dict[str, Score]) -> str:
    """A row for each label: precision, recall, F1 and the number of names."""
    return "\n".join(
        f"| {label} | {one.precision:.1%} | {one.recall:.1%} | {one.f1:.1%} | {one.true:,} |"
        for label, one in sorted(scores.items(), key=lambda row: row[0] == "all")
    )


def megabytes(folder: Path) -> float:
    """What the folder takes on the disk, without its card."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def write_card(folder: Path, evaluation: Evaluation, log: Callable[[str], None] = print) -> None:
    """Writes README.md beside the weights from what was trained and measured."""
    record = json.loads((folder / "training.json").read_text())
    (folder / "README.md").unlink(missing_ok=True)
    card = _CARD.read_text(encoding="utf-8").format(
        width=WIDTH,
        rows=sum(ROWS.values()),
        depth=DEPTH,
        renamed=RENAMED,
        megabytes=megabytes(folder),
        minutes=record["seconds"] / 60,
        steps=record["step"],
        texts=record["texts"],
        words=record["words"],
        held_out=table(evaluation.held_out),
        fresh=table(evaluation.fresh),
        written=table(evaluation.written),
        num_held_out=evaluation.num_held_out,
        num_fresh=evaluation.num_fresh,
        num_written=evaluation.num_written,
        num_plain=evaluation.num_plain,
        plain_marked=evaluation.plain_marked,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    log(table(evaluation.held_out))
    log(table(evaluation.fresh))
    log(table(evaluation.written))
    log(f"marked in {evaluation.num_plain} texts without a name: {evaluation.plain_marked}")
