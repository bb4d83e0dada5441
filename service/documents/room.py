"""An open document and all who are in it: what one does, the others hear in their own form."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from service.documents.document import Applied
from service.documents.kept import KeptDocument
from service.documents.messages import CursorUpdate, Message, OperationMade, UserJoined, UserLeft
from service.documents.presence import Presence
from service.documents.shared import Change, SharedDocument
from service.documents.yjs_wire import awareness_frame, update_frame
from service.errors import ApiError
from service.params.documents import SubmitOperation
from service.sockets.connection import Connection
from service.sockets.room import Room


class DocumentRoom:
    """`writers` speak of operations, `editors` the Yjs protocol."""

    def __init__(self, kept: KeptDocument) -> None:
        self.kept = kept
        self.writers = Room()
        self.editors = Room()
        # Those who are in it, and those who wait for it to be loaded.
        self.num_users = 0

    @property
    def doc_id(self) -> str:
        return self.kept.address.id

    @property
    def document(self) -> SharedDocument:
        return self.kept.document

    @cached_property
    def presence(self) -> Presence:
        """Made for the first editor."""
        return Presence()

    def join(self, room: Room, connection: Connection) -> None:
        """One more of the writers or of the editors."""
        self._tell(UserJoined(connection.id))
        room.members[connection.id] = connection

    def leave(self, room: Room, connection: Connection) -> None:
        """Gone, with cursor and awareness."""
        if room.members.pop(connection.id, None):
            self.document.drop_cursor(connection.id)
            self._tell(UserLeft(connection.id))
            if room is self.editors:
                self.tell_presence(self.presence.leave(connection.id), connection)

    def submit(self, made: SubmitOperation, author: str, by: Connection | None = None) -> Applied:
        """Accept an operation, and tell everyone but who sent it. Raises as `SharedDocument.submit`."""
        with self._reconciled():
            change = self.document.submit(made.operation, made.version, author)
        assert change.applied
        if made.operation_id:
            self.document.remember(made.operation_id)
        self.announce(change, by)
        return change.applied

    def merge(self, update: bytes, by: Connection) -> Change:
        """Accept an editor's update, and tell everyone else. Raises as `SharedDocument.merge`."""
        with self._reconciled():
            change = self.document.merge(update, by.id)
        self.announce(change, by)
        return change

    @contextmanager
    def _reconciled(self) -> Iterator[None]:
        try:
            yield
        except ApiError:
            self.announce(self.document.reconcile())
            raise

    def announce(self, change: Change, by: Connection | None = None) -> None:
        """Tell everyone but who did it, and have the document saved soon."""
        if applied := change.applied:
            self._tell(OperationMade(applied.operation, applied.version, applied.author), by)
        if change.update:
            self.editors.broadcast(update_frame(change.update), but=by, is_binary=True)
        if applied or change.update:
            self.kept.touch()

    def tell_cursor(self, author: str, position: int, by: Connection) -> None:
        """Of several that have not been sent only the newest is."""
        message = CursorUpdate(author, position, self.document.version)
        self.writers.broadcast(message.encode(), but=by, slot=f"cursor {author}")

    def tell_presence(self, update: bytes, by: Connection) -> None:
        """Pass on an awareness update; an empty one is none."""
        if update:
            self.editors.broadcast(awareness_frame(update), but=by, is_binary=True)

    def _tell(self, message: Message, by: Connection | None = None) -> None:
        self.writers.broadcast(message.encode(), but=by)
