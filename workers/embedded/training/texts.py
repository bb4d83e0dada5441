"""Reads the hand-written templates of `texts/`: `key: value` lines in blocks parted by empty lines.

`#` begins a comment, and `let name: text` lets `<name>` stand for a text in the rest of the file.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent / "texts"

Block = list[tuple[str, str]]


def read_lines(name: str) -> list[str]:
    """The lines of `texts/<name>.txt`, empty ones too, without comments and with `<name>`s filled."""
    lines, macros = [], dict[str, str]()
    for line in (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("let "):
            key, value = line[4:].split(": ", 1)
            macros[f"<{key}>"] = value
        elif not line.startswith("#"):
            lines.append(_filled(line, macros))
    return lines


def _filled(line: str, macros: dict[str, str]) -> str:
    for name, value in macros.items():
        line = line.replace(name, value)
    return line


def read_blocks(name: str) -> list[Block]:
    """The blocks of `texts/<name>.txt`, each its (key, value) rows in the order of the file."""
    blocks: list[Block] = [[]]
    for line in read_lines(name):
        if line:
            key, _, value = line.partition(":")
            blocks[-1].append((key, value.strip()))
        elif blocks[-1]:
            blocks.append([])
    return [block for block in blocks if block]


def values(block: Block, key: str) -> tuple[str, ...]:
    """Every value that a block has under this key, in order."""
    return tuple(value for name, value in block if name == key)


def read_wordings(name: str) -> dict[str, tuple[str, ...]]:
    """All values of `texts/<name>.txt` under their keys, in order."""
    found: dict[str, list[str]] = {}
    for block in read_blocks(name):
        for key, value in block:
            found.setdefault(key, []).append(value)
    return {key: tuple(rows) for key, rows in found.items()}


def parted(rows: tuple[str, ...], sign: str = " = ") -> list[list[str]]:
    """Rows cut at the sign."""
    return [row.split(sign) for row in rows]
