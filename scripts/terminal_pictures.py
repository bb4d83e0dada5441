"""Pictures in a terminal: by kitty's protocol, by iTerm2's, else half blocks in true colour."""

import io
import os
import shutil
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import NamedTuple

from PIL import Image

MAX_ROWS = 24
# What kitty takes in one escape sequence.
CHUNK_CHARS = 4_096
ITERM_LIKE = ("iTerm.app", "WezTerm", "mintty")


class Cells(NamedTuple):
    """A picture's place in the terminal; a cell is about twice as high as it is wide."""

    columns: int
    rows: int


Draw = Callable[[bytes, Cells], str]


class Canvas:
    """Shows one picture after another in the same place, above the line that the cursor is in."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._cells = Cells(0, 0)

    def show(self, picture: bytes) -> None:
        """Draw an encoded picture; the cursor ends at the beginning of its line."""
        if not self._cells.rows:
            self._cells = _fit(picture)
            print("\n" * self._cells.rows, end="", file=sys.stderr)
        rows = self._cells.rows
        # Up, remember the place, draw, back to the place, down.
        drawn = f"\r\033[{rows}A\0337{self._draw(picture, self._cells)}\0338\033[{rows}B\r"
        print(drawn, end="", file=sys.stderr, flush=True)


def find_canvas(env: Mapping[str, str] = os.environ) -> Canvas | None:
    """What this terminal can show; None where it shows no pictures."""
    draw = _drawing(env) if sys.stderr.isatty() else None
    return Canvas(draw) if draw else None


def _drawing(env: Mapping[str, str]) -> Draw | None:
    program = env.get("TERM_PROGRAM", "")
    # tmux passes no pictures on.
    if "TMUX" not in env:
        if "KITTY_WINDOW_ID" in env or env.get("TERM") == "xterm-kitty" or program == "ghostty":
            return draw_kitty
        if program in ITERM_LIKE:
            return draw_iterm
    return draw_blocks if env.get("COLORTERM") in ("truecolor", "24bit") else None


def draw_kitty(picture: bytes, cells: Cells) -> str:
    """Only PNG; a new picture of the same id takes the old one's place."""
    data = b64encode(_as_png(picture)).decode()
    chunks = [data[at : at + CHUNK_CHARS] for at in range(0, len(data), CHUNK_CHARS)]
    controls = [f"a=T,f=100,i=1,p=1,q=2,C=1,c={cells.columns},r={cells.rows},m=1", *["m=1"] * len(chunks)]
    controls[len(chunks) - 1] = controls[len(chunks) - 1].replace("m=1", "m=0")
    return "".join(f"\033_G{control};{chunk}\033\\" for control, chunk in zip(controls, chunks, strict=False))


def draw_iterm(picture: bytes, cells: Cells) -> str:
    place = f"inline=1;width={cells.columns};height={cells.rows};preserveAspectRatio=0"
    return f"\033]1337;File={place}:{b64encode(picture).decode()}\a"


def draw_blocks(picture: bytes, cells: Cells) -> str:
    """Two pixels a cell: the upper is the colour of a half block, the lower its background."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").resize((cells.columns, 2 * cells.rows))
    pixels = image.tobytes()

    def colour(column: int, row: int) -> str:
        at = 3 * (row * cells.columns + column)
        return ";".join(str(part) for part in pixels[at : at + 3])

    lines = [
        "".join(
            f"\033[38;2;{colour(column, row)};48;2;{colour(column, row + 1)}m▀"
            for column in range(cells.columns)
        )
        for row in range(0, 2 * cells.rows, 2)
    ]
    return "\033[0m\r\n".join(lines) + "\033[0m"


def side_by_side(pictures: list[bytes]) -> bytes:
    """One PNG of all pictures in a row, each as large as the last."""
    images = [Image.open(io.BytesIO(picture)).convert("RGB") for picture in pictures]
    width, height = images[-1].size
    strip = Image.new("RGB", (width * len(images), height))
    for place, image in enumerate(images):
        strip.paste(image.resize((width, height)), (place * width, 0))
    file = io.BytesIO()
    strip.save(file, "PNG")
    return file.getvalue()


def _fit(picture: bytes) -> Cells:
    """As large as the terminal allows, in the picture's own proportions."""
    terminal = shutil.get_terminal_size()
    width, height = Image.open(io.BytesIO(picture)).size
    rows = min(MAX_ROWS, max(1, terminal.lines - 2), max(1, terminal.columns * height // (2 * width)))
    return Cells(max(1, 2 * rows * width // height), rows)


def _as_png(picture: bytes) -> bytes:
    if picture.startswith(b"\x89PNG"):
        return picture
    file = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(file, "PNG")
    return file.getvalue()
