"""`/collaborate/{doc_id}`: one who writes in a document by operations."""

from functools import partial
from typing import Any

from aiohttp import web

from service.admission import admit
from service.dialects.client import ClientDialect
from service.documents.history import NeedsState
from service.documents.messages import Ack, DocumentState, Message
from service.documents.room import DocumentRoom
from service.errors import ApiError
from service.events import StreamEvent
from service.keys import DISPATCHER
from service.params.documents import (
    Assist,
    CancelAssist,
    MoveCursor,
    SubmitOperation,
    WriterMessage,
    WriterMessageIn,
)
from service.sockets.connection import Connection
from service.sockets.talk import AnsweringTalk
from service.talks.assist import Assistant
from service.wishing import wish_prompt
from workers.messages import Failed, Finished


class WriterTalk(AnsweringTalk[WriterMessage]):
    kind = WriterMessageIn

    def __init__(self, request: web.Request, connection: Connection, room: DocumentRoom) -> None:
        super().__init__(request, connection)
        self._room = room
        self._assistants: dict[str, Assistant] = {}

    async def begin(self) -> None:
        self._tell_state()
        self._room.join(self._room.writers, self.connection)

    def leave(self) -> None:
        super().leave()
        for assistant in self._assistants.values():
            assistant.leave()
        self._room.leave(self._room.writers, self.connection)

    def label(self, message: WriterMessage) -> dict[str, Any]:
        if isinstance(message, SubmitOperation) and message.operation_id is not None:
            return {"operation_id": message.operation_id}
        return {}

    async def take(self, message: WriterMessage) -> None:
        try:
            self._take(message)
        except NeedsState:
            self._tell_state(getattr(message, "operation_id", None))

    def _take(self, message: WriterMessage) -> None:
        match message:
            case SubmitOperation():
                self._submit(message)
            case MoveCursor(position, version):
                position = self._room.document.move_cursor(self.connection.id, position, version)
                self._room.tell_cursor(self.connection.id, position, self.connection)
            case Assist():
                self._assist(message)
            case CancelAssist(None):
                self.answers.cancel_all()
            case CancelAssist(assist_id):
                self.answers.cancel(assist_id)

    def _submit(self, message: SubmitOperation) -> None:
        document, operation_id = self._room.document, message.operation_id
        version = document.accepted_as(operation_id) if operation_id else None
        if version is not None:
            # Sent again, as its ack was lost: it is in the text already.
            self._send(Ack(version, operation_id=operation_id))
            return
        applied = self._room.submit(message, self.connection.id, self.connection)
        made = applied.operation if applied.operation != message.operation else None
        self._send(Ack(applied.version, made, operation_id))

    def _assist(self, message: Assist) -> None:
        job = admit(self.request, wish_prompt(self.request, message))
        document, author = self._room.document, f"assistant-{job.stream_id}"
        document.move_cursor(author, message.position, message.version)
        try:
            stream = self.request.app[DISPATCHER].submit(job, ClientDialect(job.stream_id))
        except ApiError:
            document.drop_cursor(author)
            raise
        assistant = self._assistants[author] = Assistant(stream, author, self._room)
        self._send(assistant.started())
        self.answers.start(stream, partial(self._show, assistant), stream.id)

    def _show(self, assistant: Assistant, _: int | None, event: StreamEvent) -> None:
        assistant.take(event, self._send)
        if isinstance(event, Finished | Failed):
            del self._assistants[assistant.author]

    def _tell_state(self, operation_id: str | None = None) -> None:
        own, document = self.connection.id, self._room.document
        cursors = {author: position for author, position in document.cursors.items() if author != own}
        state = DocumentState(self._room.doc_id, document.content, document.version, own, cursors)
        state.operation_id = operation_id
        self._send(state)

    def _send(self, message: Message) -> None:
        self.connection.send(message.encode())
