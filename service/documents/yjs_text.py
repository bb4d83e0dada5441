"""A document's text as Yjs clients share it: a root type of a Yjs document, kept by pycrdt.

pycrdt counts a text in UTF-8 bytes, and what is embedded in it (a picture, another shared type) as one;
here both are kept apart from the code points that the document counts in. Formatting is left as it is.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from pycrdt import Doc, Text

from service.documents.edits import Edit
from service.documents.yjs_deltas import difference, num_inserted, read_deltas
from service.documents.yjs_errors import guarded
from service.documents.yjs_events import Told, listening
from service.documents.yjs_wire import num_known
from service.errors import BadParams

# The update that says nothing.
NOTHING = b"\x00\x00"
# Updates are kept beside the last whole state until they are so long together: making a state of 1 MB
# takes 1 to 3 ms.
MIN_COMPACT_BYTES = 65_536
# Updates that brought nothing may be waiting for others that never come: pycrdt keeps them unseen.
MAX_SILENT_BYTES = 1_048_576


class Merged(NamedTuple):
    """What other Yjs clients need of an update, empty when it was no news; and what it did to the text."""

    update: bytes
    edit: Edit | None


class YjsText:
    """Its text is always the document's content, which the caller hands in. Used by one thread."""

    def __init__(self, name: str, max_bytes: int, state: bytes = NOTHING) -> None:
        """`state` is what `state()` gave. Raises BadParams when it is no such thing."""
        self.name = name
        self._max_bytes = max_bytes
        # A whole state and the updates since.
        self._parts = [state]
        self._num_bytes = len(state)
        self._num_silent_bytes = 0
        self._load()

    def __str__(self) -> str:
        return str(self._text)

    def state(self) -> bytes:
        """The whole of it, what has been deleted too, as one update."""
        if len(self._parts) > 1:
            self._replace_parts(self._doc.get_update())
        return self._parts[0]

    def vector(self) -> bytes:
        """What is known here, as a state vector."""
        return self._doc.get_state()

    def missing(self, vector: bytes) -> bytes:
        """The update that brings who knows `vector` here. Raises BadParams."""
        with self._changing(), guarded("vector"):
            return self._doc.get_update(vector)

    def apply(self, edit: Edit, content: str) -> bytes:
        """Make the edit of `content` here too. Returns the update that tells it.

        Raises BadParams when the history of all changes grows too long; then nothing has changed.
        """
        with self._changing() as told:
            with guarded("operation"), self._doc.transaction():
                for start, end, text in reversed(_steps(edit, content, self._embeds(content))):
                    if text:
                        self._text.insert(start, text)
                    else:
                        del self._text[start:end]
            return self._keep(told)

    def merge(self, update: bytes, content: str, check: Callable[[Edit], None]) -> Merged:
        """Take a client's update to `content`. `check` may refuse, with an ApiError, what it does to it.

        Raises BadParams when it is no update, or too much; then nothing has changed here.
        """
        with self._changing() as told:
            with guarded("update"):
                edit = self._merge(update, content, told)
            if edit:
                check(edit)
            merged = Merged(self._keep(told), edit)
        self._note_silence(len(update) - len(merged.update))
        return merged

    @contextmanager
    def _changing(self) -> Iterator[Told]:
        """All that is done in the block, or nothing."""
        try:
            with listening(self._doc, self._text) as told:
                yield told
        except BaseException:
            self._load()
            raise

    def _merge(self, update: bytes, content: str, told: Told) -> Edit | None:
        was_plain = len(self._text) == len(content.encode())
        num_before = num_known(self.vector())
        self._doc.apply_update(update)
        if num_known(self.vector()) - num_before < sum(map(num_inserted, told.deltas)):
            # pycrdt takes some items whose predecessors are missing, and then cannot tell of them.
            raise BadParams("$.update has gaps", param="update", code="bad_update")
        text = str(self._text)
        if not (told.updates or told.deltas):
            return None
        if text == content:
            self._embeds(text)
            return None
        if self._embeds(text) or not was_plain:
            return difference(content, text)
        return read_deltas(told.deltas, content, text)

    def _embeds(self, content: str) -> list[int]:
        """The code points before which something is embedded. Raises BadParams for what is no text at all."""
        num_units = len(content.encode())
        if len(self._text) == num_units:
            return []
        embeds, position = [], 0
        for chunk, _ in self._text.diff():
            if isinstance(chunk, str):
                position += len(chunk)
            else:
                embeds.append(position)
        if position != len(content) or num_units + len(embeds) != len(self._text):
            raise BadParams(f"the shared type {self.name!r} is a text here, and nothing else", param="update")
        return embeds

    def _load(self) -> None:
        """Begin anew from what is kept: after an error the document within pycrdt cannot be trusted."""
        self._doc: Doc[Text] = Doc()
        self._text = self._doc.get(self.name, type=Text)
        with guarded("state"):
            for part in self._parts:
                self._doc.apply_update(part)
        self._num_silent_bytes = 0

    def _keep(self, told: Told) -> bytes:
        """What the transaction has changed, kept and returned as one update. Raises BadParams."""
        update = told.updates[0] if told.updates else NOTHING
        if update == NOTHING:
            return b""
        num_bytes = self._num_bytes + len(update)
        if num_bytes <= min(self._max_bytes, 2 * len(self._parts[0]) + MIN_COMPACT_BYTES):
            self._parts.append(update)
            self._num_bytes = num_bytes
            return update
        state = self._doc.get_update()
        if len(state) > self._max_bytes:
            raise BadParams(
                f"the history of changes is {len(state)} bytes > {self._max_bytes} (documents.max_yjs_bytes)",
                param="update",
                code="document_too_long",
            )
        self._replace_parts(state)
        return update

    def _replace_parts(self, state: bytes) -> None:
        self._parts, self._num_bytes = [state], len(state)

    def _note_silence(self, num_bytes: int) -> None:
        self._num_silent_bytes += max(0, num_bytes)
        if self._num_silent_bytes > MAX_SILENT_BYTES:
            self._load()


def _steps(edit: Edit, content: str, embeds: Sequence[int]) -> list[tuple[int, int, str]]:
    """Start and end in the text's own units, and what is inserted at the start or else deleted."""
    steps = []
    position = num_bytes = 0
    for component in edit.components:
        start = num_bytes + bisect_right(embeds, position)
        if isinstance(component, str):
            steps.append((start, start, component))
            continue
        position += abs(component)
        num_bytes += len(content[position - abs(component) : position].encode())
        if component < 0:
            steps.append((start, num_bytes + bisect_left(embeds, position), ""))
    return steps
