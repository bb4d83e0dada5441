"""The model as one of a document's authors: its text is inserted where its cursor stands."""

from collections.abc import Callable

from service.dialects.dialect import usage_object
from service.documents.messages import AssistDone, AssistStarted, Message
from service.documents.operations import Insert
from service.documents.room import DocumentRoom
from service.errors import ApiError, error_object, failure_object
from service.events import StreamEvent, Terminal, reason_of
from service.params.documents import SubmitOperation
from service.streams import Stream
from workers.messages import Failed, Finished, TextDelta


class Assistant:
    """What the others type moves its cursor, as it does anybody's; it goes on from there."""

    def __init__(self, stream: Stream, author: str, room: DocumentRoom) -> None:
        self.author = author
        self._stream = stream
        self._room = room
        self._error: ApiError | None = None

    def started(self) -> Message:
        return AssistStarted(self._stream.id, self.author)

    def take(self, event: StreamEvent, send: Callable[[Message], None]) -> None:
        """Write what comes; `send` tells the end to who asked."""
        match event:
            case TextDelta(text=text) if text and not self._error:
                self._write(text)
            case Finished() | Failed():
                self.leave()
                send(self._done(event))

    def leave(self) -> None:
        """Its cursor goes; what it wrote stays."""
        self._room.document.drop_cursor(self.author)

    def _write(self, text: str) -> None:
        place = self._room.document.cursors[self.author]
        try:
            self._room.submit(SubmitOperation(Insert(place, text)), self.author)
        except ApiError as error:
            self._error = error
            self._stream.end("error")

    def _done(self, end: Terminal) -> Message:
        usage = usage_object(end.usage)
        error = failure_object(end) if isinstance(end, Failed) else None
        if self._error:
            error = error_object(self._error)
        return AssistDone(self._stream.id, "error" if error else reason_of(end), usage, error)
