"""`/v1/chat/completions` as a websocket: a request object a message, chunk objects back, several at once."""

from functools import partial
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from service.admission import admit
from service.dialects.dialect import Dialect, labelled
from service.dialects.openai import ChatCompletionsDialect, facts_of
from service.events import StreamEvent
from service.keys import DISPATCHER
from service.params.read import parse_json
from service.params.sockets import CancelCompletion, SocketCompletion
from service.sockets.talk import AnsweringTalk, text_of
from service.wishing import wish_chat_completion
from workers.messages import Failed


class Kind(Struct):
    """What is asked of every message first: requests of the OpenAI API have no type."""

    type: str | UnsetType = UNSET


class CompletionTalk(AnsweringTalk[SocketCompletion | CancelCompletion]):
    def read(self, message: str | bytes) -> SocketCompletion | CancelCompletion:
        text = text_of(message)
        if parse_json(text, Kind, 400).type is UNSET:
            return parse_json(text, SocketCompletion, 400)
        return parse_json(text, CancelCompletion, 400)

    def label(self, message: SocketCompletion | CancelCompletion) -> dict[str, Any]:
        return {} if message.stream_id is None else {"stream_id": message.stream_id}

    async def take(self, message: SocketCompletion | CancelCompletion) -> None:
        if isinstance(message, SocketCompletion):
            self._start(message)
        elif message.stream_id is None:
            self.answers.cancel_all()
        else:
            self.answers.cancel(message.stream_id)

    def _start(self, params: SocketCompletion) -> None:
        # Requests without a label run side by side too: their chunks are told apart by `id`.
        if params.stream_id is not None:
            self.answers.require_free(params.stream_id)
        job = admit(self.request, wish_chat_completion(self.request, params))
        dialect = ChatCompletionsDialect(facts_of("chatcmpl", params, job))
        stream = self.request.app[DISPATCHER].submit(job, dialect)
        name = params.stream_id if params.stream_id is not None else stream.id
        self.answers.start(stream, partial(self._show, dialect, self.label(params)), name)

    def _show(self, dialect: Dialect, label: dict[str, Any], _: int | None, event: StreamEvent) -> None:
        """`[DONE]` is no object and has no place here: the last chunk tells the end by itself."""
        kind = {"type": "error"} if isinstance(event, Failed) else {}
        for out in dialect.render(event):
            if out.is_json:
                self.connection.send(labelled(out, kind | label))
