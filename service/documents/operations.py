"""Edits as they travel: insert, delete, and a compound of them one after another.

Positions count Unicode code points. Reading what was written gives the same edit, which is what lets
a client and the server transform one operation apart and still agree.
"""

import msgspec

from service.documents.edits import Edit, nothing, replacement
from service.documents.transform import compose_all
from service.errors import BadParams


class Insert(msgspec.Struct, frozen=True, tag_field="type", tag="insert"):
    """`text` comes to stand before the code point that is at `position`."""

    position: int
    text: str


class Delete(msgspec.Struct, frozen=True, tag_field="type", tag="delete"):
    """`length` code points go, the first at `start`; a length of 0 changes nothing."""

    start: int
    length: int


class Compound(msgspec.Struct, frozen=True, tag_field="type", tag="compound"):
    """One change made of several: each counts its positions in the text that the one before left."""

    operations: list[Insert | Delete]


Operation = Insert | Delete | Compound


def read(operation: Operation, length: int, max_parts: int = 1_000) -> Edit:
    """The operation as an edit of a text of `length` code points. Raises BadParams when out of range."""
    if not isinstance(operation, Compound):
        return _read_part(operation, length, "operation")
    _require(len(operation.operations), 0, max_parts, "operation.operations", "parts of a compound")
    edits = [nothing(length)]
    for i, part in enumerate(operation.operations):
        edits.append(_read_part(part, edits[-1].new_length, f"operation.operations[{i}]"))
    return compose_all(edits)


def write(edit: Edit) -> Operation:
    """The edit as an operation, the smallest that does it; nothing at all is a delete of length 0."""
    parts: list[Insert | Delete] = []
    position = 0
    for component in edit.components:
        if isinstance(component, str):
            parts.append(Insert(position, component))
            position += len(component)
        elif component > 0:
            position += component
        else:
            parts.append(Delete(position, -component))
    if len(parts) > 1:
        return Compound(parts)
    return parts[0] if parts else Delete(0, 0)


def _read_part(part: Insert | Delete, length: int, field: str) -> Edit:
    if isinstance(part, Insert):
        _require(part.position, 0, length, f"{field}.position", "length of the text")
        _require_unicode(part.text, f"{field}.text")
        return replacement(length, part.position, 0, part.text)
    _require(part.start, 0, length, f"{field}.start", "length of the text")
    rest = length - part.start
    _require(part.length, 0, rest, f"{field}.length", f"code points from {part.start} to the end")
    return replacement(length, part.start, part.length, "")


def _require(value: int, least: int, most: int, field: str, limit: str) -> None:
    if value < least:
        raise BadParams(f"{field} {value} < {least}", param=field)
    if value > most:
        raise BadParams(f"{field} {value} > {most} ({limit})", param=field)


def _require_unicode(text: str, field: str) -> None:
    """Half a surrogate pair is no code point and could never be sent to the others."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadParams(f"{field} has a lone surrogate at {error.start}", param=field) from None
