"""Reads the files of `texts/`: `#` begins a comment, `= name` a section of a list or of lines."""

from functools import cache
from pathlib import Path

_TEXTS = Path(__file__).parent / "texts"


def read(name: str) -> str:
    """The file as it stands."""
    return (_TEXTS / f"{name}.txt").read_text(encoding="utf-8")


@cache
def read_lines(name: str) -> dict[str, tuple[str, ...]]:
    """The lines of each section; those before the first are in the section ""."""
    found: dict[str, list[str]] = {"": []}
    section = ""
    for line in read(name).splitlines():
        if line.startswith("= "):
            section = line[2:]
            found[section] = []
        elif line and not line.startswith("# "):
            found[section].append(line)
    return {key: tuple(lines) for key, lines in found.items()}


@cache
def read_lists(name: str) -> dict[str, tuple[str, ...]]:
    """The entries of each section, parted by commas; a line's end inside an entry is a space."""
    return {key: _entries(lines) for key, lines in read_lines(name).items()}


def _entries(lines: tuple[str, ...]) -> tuple[str, ...]:
    joined = " ".join(lines).replace(", ", ",").split(",")
    return tuple(dict.fromkeys(entry for entry in joined if entry))
