"""A Yjs client: a copy of its own, whose updates wait in `outbox`."""

from pycrdt import Doc, Text

from service.documents.operations import Compound, Delete, Insert, Operation

TEXT = "text"


class YjsEditor:
    def __init__(self) -> None:
        self.doc: Doc[Text] = Doc()
        self.shared = self.doc.get(TEXT, type=Text)
        self.outbox: list[bytes] = []

    @property
    def text(self) -> str:
        return str(self.shared)

    def change(self, operation: Operation) -> None:
        """The person at this copy did this."""
        known = self.doc.get_state()
        with self.doc.transaction():
            self._do(operation)
        self.outbox.append(self.doc.get_update(known))

    def sync(self, update: bytes, vector: bytes) -> None:
        """A new connection: what this copy lacked comes in, what the server lacks goes out."""
        self.doc.apply_update(update)
        self.outbox = [self.doc.get_update(vector)]

    def _do(self, operation: Operation) -> None:
        match operation:
            case Insert(position, text):
                self.shared.insert(self._index(position), text)
            case Delete(start, length):
                del self.shared[self._index(start) : self._index(start + length)]
            case Compound(operations):
                for part in operations:
                    self._do(part)

    def _index(self, position: int) -> int:
        return len(self.text[:position].encode())
