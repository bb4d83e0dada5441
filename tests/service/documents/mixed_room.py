"""A shared document with editors of both kinds."""

from collections import deque
from functools import partial

from service.documents.document import Applied
from service.documents.shared import Change, SharedDocument
from tests.service.documents.room import Decisions, Room
from tests.service.documents.yjs_editor import YjsEditor

NUM_YJS = 2


class MixedRoom(Room):
    """Yjs editors lose their connection now and then, with all that is under way."""

    def __init__(self, document: SharedDocument, decisions: Decisions) -> None:
        super().__init__(document, decisions)
        self.shared = document
        for _ in range(NUM_YJS):
            self.editors.append(YjsEditor())
            self._inboxes.append(deque())
            self.reconnect(len(self.editors) - 1)

    @property
    def texts(self) -> set[str]:
        """All copies, those of the server too."""
        return {editor.text for editor in self.editors} | {str(self.shared.yjs), self.shared.content}

    def change(self, who: int) -> None:
        super().change(who)
        if isinstance(self.editors[who], YjsEditor) and not self._decisions.below(16):
            self.reconnect(who)

    def reconnect(self, who: int) -> None:
        editor, yjs = self.editors[who], self.shared.yjs
        assert isinstance(editor, YjsEditor) and yjs
        self._inboxes[who].clear()
        editor.sync(yjs.missing(editor.doc.get_state()), yjs.vector())

    def carry_in(self, who: int) -> None:
        editor = self.editors[who]
        if not isinstance(editor, YjsEditor):
            super().carry_in(who)
        elif editor.outbox:
            self.deliver(self.shared.merge(editor.outbox.pop(0), str(who)), who)

    def deliver(self, made: Applied | Change, who: int) -> None:
        super().deliver(made, who)
        assert isinstance(made, Change)
        for other, (editor, inbox) in enumerate(zip(self.editors, self._inboxes, strict=True)):
            if isinstance(editor, YjsEditor) and other != who and made.update:
                inbox.append(partial(editor.doc.apply_update, made.update))
