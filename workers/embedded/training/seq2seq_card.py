"""What both model cards of the text-to-text models tell: shape, size, the record of the training."""

import json
from pathlib import Path
from typing import Any

from workers.embedded.training.folder import weights_of


def shape_of(folder: Path) -> dict[str, Any]:
    """The figures of config.json, and the parameters and megabytes of the weights."""
    config = json.loads((folder / "config.json").read_text())
    return {
        "layers": config["num_layers"],
        "width": config["d_model"],
        "inner": config["d_ff"],
        "heads": config["num_heads"],
        "vocabulary": config["vocab_size"],
    } | weights_of(folder)._asdict()


def write_card(folder: Path, template: Path, figures: dict[str, Any]) -> None:
    """Writes README.md beside the weights."""
    text = template.read_text(encoding="utf-8").format(**figures)
    (folder / "README.md").write_text(text, encoding="utf-8")
