"""What a shipped folder says of itself, for its card."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

# As the cards word them.
NUMBERS = {1: "one"}


class Weights(NamedTuple):
    parameters: int
    megabytes: float


def weights_of(folder: Path) -> Weights:
    """Parameters, and megabytes on the disk."""
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as tensors:
        sizes = [tensors.get_tensor(name).numel() for name in tensors.keys()]  # noqa: SIM118
    return Weights(sum(sizes), path.stat().st_size / 1e6)


def record_of(folder: Path, work: Path | None = None) -> dict[str, Any]:
    """The record of the training run, which travels with the weights.

    With the run's `minutes`, its `steps`, and its `threads` in a word.
    """
    kept = folder / "training.json"
    if work and (made := work / "training.json").exists():
        kept.write_bytes(made.read_bytes())
    record: dict[str, Any] = json.loads(kept.read_text())
    threads = NUMBERS.get(record["threads"], record["threads"])
    return record | {"minutes": record["seconds"] / 60, "steps": record["step"], "threads": threads}
