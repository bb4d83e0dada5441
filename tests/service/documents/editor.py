"""The reference client: one operation in flight, the rest composed and kept until the ack (as in ot.js)."""

from service.documents.edits import Edit
from service.documents.operations import Operation, read, write
from service.documents.transform import compose, invert, transform

# What comes from others is transformed against each of them.
MAX_UNDOS = 10


class Editor:
    """A copy of a document with changes that the server does not know yet.

    What is to be sent stands in `outbox`: operations and the version each was made at.
    """

    def __init__(self, content: str, version: int) -> None:
        self.text = content
        self.version = version
        self.outbox: list[tuple[Operation, int]] = []
        self._in_flight: Edit | None = None
        self._buffer: Edit | None = None
        self._undos: list[Edit] = []

    @property
    def is_pending(self) -> bool:
        """Whether the server has not taken all of this copy's changes."""
        return self._in_flight is not None

    def change(self, operation: Operation) -> None:
        """The person at this copy did this."""
        edit = read(operation, len(self.text))
        self._undos.append(invert(edit, self.text))
        del self._undos[:-MAX_UNDOS]
        self._do(edit)

    def undo(self) -> None:
        """Take back the person's last change, and nothing that others did."""
        self._do(self._undos.pop())

    def on_ack(self, version: int) -> None:
        assert version == self.version + 1
        self.version = version
        self._in_flight, self._buffer = self._buffer, None
        self._send()

    def on_operation(self, operation: Operation, version: int) -> None:
        """What someone else did: it was accepted before all that is pending here, so it stands first."""
        assert version == self.version + 1
        self.version = version
        edit = read(operation, self._server_length())
        if self._in_flight:
            edit, self._in_flight = transform(edit, self._in_flight)
        if self._buffer:
            edit, self._buffer = transform(edit, self._buffer)
        self.text = edit.apply(self.text)
        for i in reversed(range(len(self._undos))):
            edit, self._undos[i] = transform(edit, self._undos[i])

    def on_state(self, content: str, version: int) -> None:
        """The operation was made too long ago. What is pending has followed all others: send it again."""
        assert version == self.version and len(content) == self._server_length()
        self._send()

    def _do(self, edit: Edit) -> None:
        self.text = edit.apply(self.text)
        if self._in_flight:
            self._buffer = compose(self._buffer, edit) if self._buffer else edit
        else:
            self._in_flight = edit
            self._send()

    def _send(self) -> None:
        if self._in_flight:
            self.outbox.append((write(self._in_flight), self.version))

    def _server_length(self) -> int:
        return self._in_flight.length if self._in_flight else len(self.text)
