"""`/ws/{client_id}`: a chat, one answer at a time."""

from functools import partial

from service.admission import admit
from service.chat.remember import remember_at_end
from service.dialects.client import ClientDialect
from service.dialects.dialect import Dialect
from service.events import StreamEvent
from service.keys import DISPATCHER
from service.params.sockets import Cancel, ChatRequest, ClientMessage
from service.sockets.talk import AnsweringTalk
from service.wishing import wish_chat


class ClientTalk(AnsweringTalk[ChatRequest | Cancel]):
    kind = ClientMessage

    async def take(self, message: ChatRequest | Cancel) -> None:
        if isinstance(message, ChatRequest):
            await self._start(message)
        else:
            self.answers.cancel()

    async def _start(self, wishes: ChatRequest) -> None:
        self.answers.require_free()
        job = admit(self.request, await wish_chat(self.request, wishes))
        dialect = ClientDialect(job.stream_id)
        stream = self.request.app[DISPATCHER].submit(job, dialect)
        remember_at_end(self.request, wishes, stream)
        self.answers.start(stream, partial(self._show, dialect))

    def _show(self, dialect: Dialect, _: int | None, event: StreamEvent) -> None:
        for out in dialect.render(event):
            self.connection.send(out.body)
