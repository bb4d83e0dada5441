"""The flags that every training has."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def read_flags(argv: Sequence[str], folder: Path, steps: int, unit: str) -> argparse.Namespace:
    """`steps`, `threads`, `work`, `out` and `evaluate_only`; `unit` is what an update takes.

    The model is called what its shipped `folder` is.
    """
    name = folder.name
    parser = argparse.ArgumentParser(
        prog=f"train_embedded {name}", description=f"Makes the embedded model in {name}/ and its card."
    )
    parser.add_argument("--steps", type=int, default=steps, help=f"updates of {unit} each")
    parser.add_argument("--threads", type=int, default=1, help="compute threads")
    parser.add_argument("--work", type=Path, default=Path(".train") / name, help="checkpoints")
    parser.add_argument("--out", type=Path, default=folder, help="the folder to write")
    parser.add_argument("--evaluate-only", action="store_true", help="judge the folder as it is")
    return parser.parse_args(argv)
