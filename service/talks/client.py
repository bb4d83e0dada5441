"""`/ws/{client_id}`: a chat, one answer at a time."""

from functools import partial

from aiohttp import web

from service.admission import admit
from service.chat.remember import remember_at_end
from service.dialects.client import ClientDialect
from service.dialects.dialect import Dialect
from service.events import StreamEvent
from service.keys import DISPATCHER
from service.params.sockets import Cancel, ChatRequest, ClientMessage
from service.sockets.answers import Answers
from service.sockets.connection import Connection
from service.sockets.talk import Talk
from service.wishing import wish_chat


class ClientTalk(Talk[ChatRequest | Cancel]):
    kind = ClientMessage

    def __init__(self, request: web.Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self._answers = Answers(connection)

    async def take(self, message: ChatRequest | Cancel) -> None:
        if isinstance(message, ChatRequest):
            await self._start(message)
        else:
            self._answers.cancel()

    async def leave(self) -> None:
        await self._answers.leave()

    async def _start(self, wishes: ChatRequest) -> None:
        self._answers.require_free()
        job = admit(self.request, await wish_chat(self.request, wishes))
        dialect = ClientDialect(job.stream_id)
        stream = self.request.app[DISPATCHER].submit(job, dialect)
        remember_at_end(self.request, wishes, stream)
        self._answers.start(stream, partial(self._show, dialect))

    def _show(self, dialect: Dialect, _: int | None, event: StreamEvent) -> None:
        for out in dialect.render(event):
            self.connection.send(out.body)
