"""`/streams/{stream_id}` as a websocket: the stream's events as messages, from any seq."""

from aiohttp import web

from service.events import StreamEvent
from service.framing import Messages, frames_of
from service.params.sockets import Cancel
from service.sockets.connection import Connection
from service.sockets.talk import AnsweringTalk
from service.streams import Stream
from workers.messages import Failed, Finished


class StreamTalk(AnsweringTalk[Cancel]):
    """One reader of a stream. The socket closes after the stream's ending."""

    kind = Cancel

    def __init__(self, request: web.Request, connection: Connection, stream: Stream, after: int) -> None:
        super().__init__(request, connection)
        self._stream = stream
        self._after = after
        self._framing = Messages()

    async def begin(self) -> None:
        self.answers.start(self._stream, self._show, after=self._after)
        if self._stream.terminal and self._after >= self._stream.log.seq:
            self.connection.close()

    async def take(self, message: Cancel) -> None:  # noqa: ARG002
        self.answers.cancel()

    def _show(self, seq: int | None, event: StreamEvent) -> None:
        for frame in frames_of([(seq, event)], self._stream.dialect, self._framing):
            self.connection.send(frame)
        if isinstance(event, Finished | Failed):
            self.connection.close()
