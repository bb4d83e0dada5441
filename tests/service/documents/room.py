"""A document and its editors with a channel each way that is slow, but keeps its order."""

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random

from service.documents.document import Applied, Document
from service.documents.history import NeedsState
from service.documents.operations import Compound, Delete, Insert, Operation
from service.documents.shared import Change, SharedDocument
from tests.service.documents.editor import Editor
from tests.service.documents.yjs_editor import YjsEditor

# SLUICE_NUM_INTERLEAVINGS=1000 runs the project's full measure.
NUM_INTERLEAVINGS = int(os.environ.get("SLUICE_NUM_INTERLEAVINGS", "60"))
NUM_EDITORS = 3
# Every code point in a room is another one, so that each can be followed; most are beyond the BMP.
FIRST_CHARACTER = 0xFF00
Delivery = Callable[[], None]


class Decisions:
    """Chances that Hypothesis drew; when they are used up, always the same ones."""

    def __init__(self, chances: bytes) -> None:
        self._chances = deque(chances)
        self._more = Random(0)

    def below(self, limit: int) -> int:
        chance = self._byte() if limit <= 256 else self._byte() * 256 + self._byte()
        return chance % limit

    def _byte(self) -> int:
        return self._chances.popleft() if self._chances else self._more.randrange(256)


class Room:
    """One run of editors who each make `num_changes`; `run` ends when nothing is under way."""

    def __init__(self, document: Document | SharedDocument, decisions: Decisions) -> None:
        self.document = document
        self.num_states = 0
        self.inserted: set[str] = set(document.content)
        self.deleted: set[str] = set()
        self._decisions = decisions
        self.writers = [Editor(document.content, document.version) for _ in range(NUM_EDITORS)]
        self.editors: list[Editor | YjsEditor] = [*self.writers]
        self._inboxes: list[deque[Delivery]] = [deque() for _ in self.editors]
        self._next_character = FIRST_CHARACTER

    def run(self, num_changes: int) -> None:
        """Each editor changes its copy so often; channels and people take turns by chance."""
        left = [num_changes] * len(self.editors)
        eagerness, haste = 1 + self._decisions.below(6), 1 + self._decisions.below(8)
        while any(left) or self.is_busy:
            who = self._decisions.below(len(self.editors))
            action = self._decisions.below(3 * haste + eagerness)
            if action < haste:
                self.carry_in(who)
            elif action < 3 * haste:
                self.carry_out(who)
            elif left[who]:
                left[who] -= 1
                self.change(who)

    def settle(self) -> None:
        while self.is_busy:
            for who in range(len(self.editors)):
                self.carry_in(who)
                self.carry_out(who)

    @property
    def is_busy(self) -> bool:
        return any(editor.outbox for editor in self.editors) or any(self._inboxes)

    def change(self, who: int) -> None:
        self.editors[who].change(self._some_operation(self.editors[who].text))

    def carry_in(self, who: int) -> None:
        """The next message of one editor comes to the server."""
        author = self.editors[who]
        if not author.outbox or isinstance(author, YjsEditor):
            return
        operation, version = author.outbox.pop(0)
        try:
            self.deliver(self.document.submit(operation, version, str(who)), who)
        except NeedsState:
            self.num_states += 1
            content, version = self.document.content, self.document.version
            self._inboxes[who].append(lambda: author.on_state(content, version))

    def deliver(self, made: Applied | Change, who: int) -> None:
        """What the server has accepted goes out to all."""
        applied = made if isinstance(made, Applied) else made.applied
        if not applied:
            return
        for other, (editor, inbox) in enumerate(zip(self.editors, self._inboxes, strict=True)):
            if isinstance(editor, YjsEditor):
                continue
            if other == who:
                inbox.append(partial(editor.on_ack, applied.version))
            else:
                inbox.append(partial(editor.on_operation, applied.operation, applied.version))

    def carry_out(self, who: int) -> None:
        """The server's next message comes to one editor."""
        if self._inboxes[who]:
            self._inboxes[who].popleft()()

    def _some_operation(self, text: str) -> Operation:
        kind = self._decisions.below(8)
        if kind < 5:
            return self._some_insert(len(text))
        if kind < 7:
            return self._some_delete(text)
        first = self._some_delete(text)
        return Compound([first, self._some_insert(len(text) - first.length)])

    def _some_insert(self, length: int) -> Insert:
        start, self._next_character = (
            self._next_character,
            self._next_character + 1 + self._decisions.below(4),
        )
        text = "".join(map(chr, range(start, self._next_character)))
        self.inserted.update(text)
        return Insert(self._decisions.below(length + 1), text)

    def _some_delete(self, text: str) -> Delete:
        start = self._decisions.below(len(text) + 1)
        length = self._decisions.below(min(8, len(text) - start) + 1)
        self.deleted.update(text[start : start + length])
        return Delete(start, length)
