"""Those who talk in one chat session: they hear each other, and the model's one answer to each question."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web

from service.admission import admit
from service.chat.remember import remember_at_end
from service.dialects.native import ChatDialect
from service.errors import ApiError, Conflict, TooMany
from service.keys import DISPATCHER
from service.params.native import ChatParams
from service.sockets.room import Room, Rooms
from service.streams import Stream
from service.wishing import wish_chat

log = logging.getLogger(__name__)


class Question(NamedTuple):
    """Of one member; `refuse` tells him why it is not answered."""

    request: web.Request
    params: ChatParams
    refuse: Callable[[ApiError], None]


class ChatRoom(Room):
    """Questions are answered one after another, so that each answer knows those before.

    An answer goes on when all members have gone, for `streams.resume_ttl`: who comes back hears the rest.
    """

    def __init__(self, caller: str, session_id: str) -> None:  # noqa: ARG002
        super().__init__()
        self.session_id = session_id
        # Of each member: begins to tell him of an answer.
        self.listeners: dict[str, Callable[[Stream], None]] = {}
        self.answer: Stream | None = None
        self._questions: deque[Question] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_needed(self) -> bool:
        return super().is_needed or self._task is not None

    def ask(self, question: Question, max_waiting: int, on_idle: Callable[[], None]) -> None:
        """Answer it after those that wait, then call `on_idle`. Raises TooMany when too many wait."""
        if len(self._questions) >= max_waiting:
            message = (
                f"{len(self._questions)} messages wait for an answer >= {max_waiting} (chat.max_waiting)"
            )
            raise TooMany(message, code="too_many_messages")
        self._questions.append(question)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all(on_idle))

    def cancel(self) -> None:
        """End the answer that is on its way. Raises Conflict when there is none."""
        if self.answer is None:
            raise Conflict("no answer is on its way", code="not_running")
        self.answer.end("cancelled")

    async def _answer_all(self, on_idle: Callable[[], None]) -> None:
        try:
            while self._questions:
                await self._answer(self._questions.popleft())
        finally:
            self._task = None
            on_idle()

    async def _answer(self, question: Question) -> None:
        try:
            stream = await self._begin(question)
        except ApiError as error:
            question.refuse(error)
            return
        except Exception:
            log.exception("question failed", extra={"session": self.session_id})
            question.refuse(ApiError("internal error; the log has it", code="internal"))
            return
        ended = asyncio.Event()
        stream.on_end.append(lambda _: ended.set())
        self.answer = stream
        for listen in tuple(self.listeners.values()):
            listen(stream)
        await ended.wait()
        self.answer = None

    async def _begin(self, question: Question) -> Stream:
        job = admit(question.request, await wish_chat(question.request, question.params))
        job.is_resumable = True
        stream = question.request.app[DISPATCHER].submit(job, ChatDialect(job.stream_id))
        remember_at_end(question.request, question.params, stream)
        return stream


CHATS = web.AppKey("CHATS", Rooms[ChatRoom])
