"""The last edits of a document, so that an operation made at an older version can be transformed."""

from collections import deque
from itertools import islice

from service.documents.edits import Edit

# What a component counts for beside its text: it costs memory and, at each transformation, time.
COMPONENT_CHARS = 16


class NeedsState(Exception):
    """The version is unknown here, too old or from the future: send the client a fresh document_state."""


class History:
    """Edits in the server's order, bounded in number and in characters; the oldest go first."""

    def __init__(self, version: int, max_edits: int, max_chars: int) -> None:
        self.version = version
        self.num_chars = 0
        self._max_edits = max_edits
        self._max_chars = max_chars
        self._edits: deque[Edit] = deque()

    @property
    def oldest(self) -> int:
        """The oldest version that an operation may be made at."""
        return self.version - len(self._edits)

    def add(self, edit: Edit) -> None:
        """The edit that leads to the next version."""
        self.version += 1
        self._edits.append(edit)
        self.num_chars += _chars(edit)
        while len(self._edits) > self._max_edits or self.num_chars > self._max_chars:
            self.num_chars -= _chars(self._edits.popleft())

    def after(self, version: int) -> list[Edit]:
        """The edits that led from `version` to the present one. Raises NeedsState."""
        if not self.oldest <= version <= self.version:
            raise NeedsState(f"version {version} is not within {self.oldest}..{self.version}")
        return list(islice(self._edits, version - self.oldest, None))


def _chars(edit: Edit) -> int:
    return edit.num_inserted + COMPONENT_CHARS * len(edit.components)
