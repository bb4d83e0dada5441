#!/usr/bin/env python3
"""Shows an image while it is made: `scripts/stream_image.py "a house with a red roof under the sun" --seed 7`

Previews appear in terminals that can show pictures. Progress goes to standard error, the path of the
image to standard output.
"""

import argparse
import json
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

from terminal import Complaint, Talk, bar, explain, parser, run
from terminal_pictures import find_canvas, side_by_side

ENDINGS = ("complete", "cancelled")


class Making:
    """One image as it comes: shown, and kept where the flags say."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.status = ""
        self.path: Path | None = None
        self._flags = flags
        self._canvas = find_canvas()
        self._is_terminal = sys.stderr.isatty()
        self._num_steps = 0
        self._seed: int | None = None
        self._pictures: list[bytes] = []
        self._begun_at = self._first_at = self._last_at = time.monotonic()

    def take(self, event: dict[str, Any]) -> None:
        """Show one event and keep its picture. Raises Complaint for an error object."""
        self.status = event["status"]
        if self.status == "error":
            raise Complaint(explain(event["error"]))
        if event["image"]:
            self._keep(event, b64decode(event["image"]))
        if self.status == "processing":
            self._count(event["step"])
            self._progress(event)

    def figures(self) -> str:
        seed = "" if self._seed is None else f", seed {self._seed}"
        took_s = time.monotonic() - self._begun_at
        return f"{self._num_steps} steps, {took_s:.3f} s{self._rate()}{seed}"

    def _count(self, step: int) -> None:
        self._num_steps, self._last_at = step, time.monotonic()
        if step == 1:
            self._first_at = self._last_at

    def _keep(self, event: dict[str, Any], picture: bytes) -> None:
        flags = self._flags
        self._pictures.append(picture)
        if self._canvas:
            self._canvas.show(picture)
        if event["status"] == "complete":
            self._seed = event["seed"]
            self.path = flags.out or Path(f"image-{self._seed}.{flags.format}")
            _save(self.path, picture)
            if flags.strip:
                _save(flags.strip, side_by_side(self._pictures))
        elif flags.previews:
            _save(flags.previews / f"step-{event['step']:04}.{flags.format}", picture)

    def _progress(self, event: dict[str, Any]) -> None:
        """A bar that grows in its place; elsewhere than on a terminal, a line for each step."""
        line = f"{bar(event['progress'])}  step {event['step']} of {event['total_steps']}{self._rate()}"
        start, end = ("\r\033[K", "") if self._is_terminal else ("", "\n")
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def _rate(self) -> str:
        took_s = self._last_at - self._first_at
        return f", {(self._num_steps - 1) / took_s:.2f} steps/s" if took_s else ""

    def close(self) -> None:
        if self._is_terminal and self._num_steps:
            print(file=sys.stderr)


def main() -> int:
    flags = read_flags()

    async def show(talk: Talk) -> str:
        making = Making(flags)
        try:
            async with talk.post("/generate_image_stream", wishes(flags), "application/x-ndjson") as response:
                async for line in response.content:
                    making.take(json.loads(line))
        finally:
            making.close()
        if making.status not in ENDINGS:
            raise Complaint(f"the image was cut short: {making.status or 'the stream broke off'}")
        if making.path:
            print(making.path, flush=True)
        return making.figures()

    return run(flags, show)


def read_flags() -> argparse.Namespace:
    flags = parser("Show an image while it is made.")
    flags.add_argument("prompt")
    flags.add_argument("--negative", default="", help="what is not to be seen")
    flags.add_argument("--steps", type=int, help="denoising steps (the model's own)")
    flags.add_argument("--seed", type=int, help="the same one makes the same image (random)")
    flags.add_argument("--size", type=_size, default={}, metavar="WxH", help="pixels (the model's own)")
    flags.add_argument("--guidance", type=float, help="how strongly the prompt pulls (the model's own)")
    flags.add_argument("--every", type=int, default=2, help="steps between previews, 0: none (%(default)s)")
    flags.add_argument("--format", choices=("jpeg", "png", "webp"), default="png", help="(%(default)s)")
    flags.add_argument("--out", type=Path, metavar="FILE", help="where to (image-SEED.FORMAT)")
    flags.add_argument("--previews", type=Path, metavar="FOLDER", help="keep the previews there")
    flags.add_argument("--strip", type=Path, metavar="FILE", help="all previews and the image in one PNG")
    return flags.parse_args()


def wishes(flags: argparse.Namespace) -> dict[str, Any]:
    """The request's body; what was not asked for is left out."""
    body: dict[str, Any] = {
        "prompt": flags.prompt,
        "negative_prompt": flags.negative,
        "image_format": flags.format,
        "preview_every": flags.every,
    }
    optional = {
        "model": flags.model,
        "steps": flags.steps,
        "seed": flags.seed,
        "guidance_scale": flags.guidance,
    }
    size: dict[str, int] = flags.size
    return body | size | {name: value for name, value in optional.items() if value is not None}


def _save(path: Path, picture: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    except OSError as error:
        raise Complaint(f"cannot write {path}: {error.strerror}") from error


def _size(text: str) -> dict[str, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a size such as 512x512")
    return {"width": int(width), "height": int(height)}


if __name__ == "__main__":
    sys.exit(main())
