"""What both model cards of the text-to-text models tell: shape, size, the record of the training."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open


def shape_of(folder: Path) -> dict[str, Any]:
    """The figures of config.json, and the parameters and megabytes of the weights."""
    config = json.loads((folder / "config.json").read_text())
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as tensors:
        parameters = sum(tensors.get_tensor(name).numel() for name in tensors.keys())  # noqa: SIM118
    return {
        "layers": config["num_layers"],
        "width": config["d_model"],
        "inner": config["d_ff"],
        "heads": config["num_heads"],
        "vocabulary": config["vocab_size"],
        "parameters": parameters,
        "megabytes": path.stat().st_size / 1e6,
    }


def record_of(folder: Path, work: Path) -> dict[str, Any]:
    """The record of the training run, which travels with the weights, as the cards word it."""
    made, kept = work / "training.json", folder / "training.json"
    if made.exists():
        kept.write_bytes(made.read_bytes())
    record: dict[str, Any] = json.loads(kept.read_text())
    return {
        "minutes": record["seconds"] / 60,
        "threads": {1: "one"}.get(record["threads"], record["threads"]),
        "steps": record["step"],
        "pairs": record["pairs"],
        "tokens": record["tokens"],
        "loss": record["loss"],
    }


def write_card(folder: Path, template: Path, figures: dict[str, Any]) -> None:
    """Writes README.md beside the weights."""
    text = template.read_text(encoding="utf-8").format(**figures)
    (folder / "README.md").write_text(text, encoding="utf-8")
