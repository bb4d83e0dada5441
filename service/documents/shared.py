"""One document as all its clients share it: those of operations and those of Yjs, on the same text."""

from collections import OrderedDict
from typing import NamedTuple

from msgspec import Struct, msgpack

from config.settings import DocumentSettings
from service.documents.document import Applied, Document, DocumentLimits
from service.documents.edits import replacement
from service.documents.operations import Operation
from service.documents.yjs_deltas import difference
from service.documents.yjs_text import YjsText
from service.errors import Conflict

# Operation ids that a document remembers, the newest: a client asks again soon, or not at all.
MAX_OPERATION_IDS = 512


class Record(Struct, array_like=True):
    """A document as it is kept. With a Yjs state the content is the text in that."""

    version: int
    content: str = ""
    text_name: str = ""
    yjs: bytes = b""
    operation_ids: dict[str, int] = {}


class Change(NamedTuple):
    """One change of the document. `update` tells it to Yjs clients; empty when the document has none.

    `applied` is None when the text has stayed as it was.
    """

    applied: Applied | None
    update: bytes = b""


class SharedDocument:
    """Every change is made to both forms or to none."""

    def __init__(self, settings: DocumentSettings, value: bytes | None = None) -> None:
        """A new document, or the one that `encode` gave."""
        self._settings = settings
        record = msgpack.decode(value, type=Record) if value else Record(0)
        self.yjs = self._make_yjs(record.text_name, record.yjs) if record.yjs else None
        content = str(self.yjs) if self.yjs else record.content
        self._document = Document(content, record.version, _limits(settings))
        self._operation_ids = OrderedDict(record.operation_ids)

    @property
    def content(self) -> str:
        return self._document.content

    @property
    def version(self) -> int:
        return self._document.version

    @property
    def cursors(self) -> dict[str, int]:
        """Where each author's cursor stands, in code points."""
        return self._document.cursors

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written: there is nothing to keep."""
        return not (self.version or self.yjs)

    def submit(self, operation: Operation, base_version: int | None, author: str) -> Change:
        """Accept an operation made at that version; None: the present one. Raises as `Document.submit`."""
        edit = self._document.bring(operation, base_version)
        self._document.check(edit)
        update = self.yjs.apply(edit, self.content) if self.yjs else b""
        return Change(self._document.commit(edit, author), update)

    def merge(self, update: bytes, author: str) -> Change:
        """Accept a Yjs client's update. Raises BadParams; then nothing has changed."""
        assert self.yjs
        merged = self.yjs.merge(update, self.content, self._document.check)
        applied = self._document.commit(merged.edit, author) if merged.edit else None
        return Change(applied, merged.update)

    def open_yjs(self, text_name: str | None) -> None:
        """Make it ready for Yjs clients, under the name that they give the text.

        Raises Conflict when it goes by another name.
        """
        if self.yjs:
            if text_name not in (None, self.yjs.name):
                raise Conflict(
                    f"$.text {text_name!r}: the text of this document is called {self.yjs.name!r}",
                    code="other_text",
                    param="text",
                )
            return
        yjs = self._make_yjs(text_name or self._settings.yjs_text)
        if self.content:
            yjs.apply(replacement(0, 0, 0, self.content), "")
        self.yjs = yjs

    def reconcile(self) -> Change:
        """After a refusal: make the text what the Yjs document has come to.

        That is the same text, unless some client sent what no Yjs makes: of such items the order in which
        they come can decide, and a refusal has the document read anew.
        """
        text = str(self.yjs) if self.yjs else self.content
        if text == self.content:
            return Change(None)
        return Change(self._document.commit(difference(self.content, text), "yjs"))

    def move_cursor(self, author: str, position: int, base_version: int | None) -> int:
        """Where the author's cursor stands now. Raises as `Document.move_cursor`."""
        return self._document.move_cursor(author, position, base_version)

    def drop_cursor(self, author: str) -> None:
        self._document.drop_cursor(author)

    def accepted_as(self, operation_id: str) -> int | None:
        """The version that the operation became; None when it has not come, or long ago."""
        return self._operation_ids.get(operation_id)

    def remember(self, operation_id: str) -> None:
        """The newest version is that operation's."""
        self._operation_ids[operation_id] = self.version
        if len(self._operation_ids) > MAX_OPERATION_IDS:
            self._operation_ids.popitem(last=False)

    def encode(self) -> bytes:
        """All that outlives the document's being open; its history and its cursors do not."""
        ids = dict(self._operation_ids)
        if self.yjs:
            return msgpack.encode(Record(self.version, "", self.yjs.name, self.yjs.state(), ids))
        return msgpack.encode(Record(self.version, self.content, operation_ids=ids))

    def _make_yjs(self, text_name: str, *state: bytes) -> YjsText:
        return YjsText(text_name, self._settings.max_yjs_bytes, *state)


def _limits(settings: DocumentSettings) -> DocumentLimits:
    return DocumentLimits(
        max_chars=settings.max_chars,
        max_parts=settings.max_parts,
        max_history=settings.max_history,
        max_history_chars=settings.max_history_chars,
        max_transform_steps=settings.max_transform_steps,
    )
