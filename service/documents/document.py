"""A text with one order of changes: operations made at older versions are transformed to the present.

Who was accepted first stands first where two insert at one place. A client keeps one operation
unacknowledged at a time and transforms what comes in against it; then all copies become equal
(the client states of ot.js; tests/service/documents/editor.py is one).
"""

from collections.abc import Sequence

import msgspec

from service.documents.edits import Edit
from service.documents.history import History, NeedsState
from service.documents.operations import Operation, read, write
from service.documents.transform import transform, transform_position
from service.errors import BadParams


class DocumentLimits(msgspec.Struct, frozen=True):
    """Bounds of one document; texts are counted in code points."""

    max_chars: int = 1_000_000
    max_parts: int = 1_000
    max_history: int = 1_000
    max_history_chars: int = 1_000_000
    # For each version that an operation is behind its components, or those of the edit if they are more, 3 µs
    # each: 1,000 parts against 1,000 versions took 6 s, in which nobody else is served.
    max_transform_steps: int = 30_000


class Applied(msgspec.Struct, frozen=True):
    """What was accepted: `operation` is for all others, whose copies are at `version` - 1."""

    version: int
    author: str
    operation: Operation
    edit: Edit


class Document:
    """Content, version, the last edits and the authors' cursors."""

    def __init__(self, content: str = "", version: int = 0, limits: DocumentLimits | None = None) -> None:
        self._limits = limits or DocumentLimits()
        self.content = content
        self.cursors: dict[str, int] = {}
        self._history = History(version, self._limits.max_history, self._limits.max_history_chars)

    @property
    def version(self) -> int:
        return self._history.version

    @property
    def num_history_chars(self) -> int:
        return self._history.num_chars

    def submit(self, operation: Operation, base_version: int | None, author: str) -> Applied:
        """`bring` and `commit` as one: raises as these do, and then nothing has changed."""
        return self.commit(self.bring(operation, base_version), author)

    def bring(self, operation: Operation, base_version: int | None) -> Edit:
        """The operation, made at that version (None: the present one), as an edit of the present text.

        Raises NeedsState when the version is not in the history or too much work away, BadParams when
        the operation is out of range.
        """
        past = self._history.after(self.version if base_version is None else base_version)
        length = past[0].length if past else len(self.content)
        edit = read(operation, length, self._limits.max_parts)
        self._require_steps(past, len(edit.components))
        for earlier in past:
            _, edit = transform(earlier, edit)
        return edit

    def check(self, edit: Edit) -> None:
        """Raises BadParams when the present text would grow too long by it; any may be made smaller."""
        if edit.new_length > max(self._limits.max_chars, edit.length):
            message = f"document length {edit.new_length} > {self._limits.max_chars} (limit of a document)"
            raise BadParams(message, param="operation", code="document_too_long")

    def commit(self, edit: Edit, author: str) -> Applied:
        """Apply an edit of the present text, as the next version. Raises as `check`."""
        self.check(edit)
        self.content = edit.apply(self.content)
        self._history.add(edit)
        for other, position in self.cursors.items():
            self.cursors[other] = transform_position(edit, position, is_own=other == author)
        return Applied(self.version, author, write(edit), edit)

    def move_cursor(self, author: str, position: int, base_version: int | None = None) -> int:
        """Where the author's cursor stands now, in the present text.

        One past the end is put at the end: its author may have typed what has not come here yet.
        Raises NeedsState like `submit`, and BadParams for a negative position.
        """
        if position < 0:
            raise BadParams(f"position {position} < 0", param="position")
        past = self._history.after(self.version if base_version is None else base_version)
        self._require_steps(past, 1)
        position = min(position, past[0].length if past else len(self.content))
        for edit in past:
            position = transform_position(edit, position)
        self.cursors[author] = position
        return position

    def _require_steps(self, past: Sequence[Edit], num_components: int) -> None:
        """Raises NeedsState: what came of a long time alone can have very many components."""
        num_steps = sum(max(num_components, len(edit.components)) for edit in past)
        if num_steps > self._limits.max_transform_steps:
            raise NeedsState(f"{num_components} components against {len(past)} versions: {num_steps} steps")

    def drop_cursor(self, author: str) -> None:
        self.cursors.pop(author, None)
