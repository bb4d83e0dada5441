"""`/chat`: one member of a chat session."""

import time
from functools import partial

from aiohttp import web

from service.chat.messages import Connected, Message, Pong, Said, UserTyping
from service.chat.room import CHATS, ChatRoom, Question
from service.chat.telling import Telling
from service.dialects.dialect import encode
from service.events import StreamEvent
from service.keys import CALLER, SETTINGS
from service.params.sockets import AnyChatMessage, Cancel, ChatMessageIn, Ping, Typing, UserMessage
from service.sockets.connection import Connection
from service.sockets.talk import AnsweringTalk
from service.streams import Stream
from service.wishing import check_chat


class ChatTalk(AnsweringTalk[AnyChatMessage]):
    kind = ChatMessageIn
    answers_one_by_one = True

    def __init__(
        self, request: web.Request, connection: Connection, room: ChatRoom, num_messages: int
    ) -> None:
        super().__init__(request, connection)
        self._room = room
        self._num_messages = num_messages

    async def begin(self) -> None:
        session_id = self._room.session_id
        welcome = f"Connected to chat session {session_id}"
        self._send(Connected(welcome, session_id, self._num_messages))
        self._room.listeners[self.connection.id] = self._listen
        if self._room.answer:
            self._listen(self._room.answer)

    def leave(self) -> None:
        self._room.listeners.pop(self.connection.id, None)
        super().leave()

    async def take(self, message: AnyChatMessage) -> None:
        match message:
            case UserMessage():
                self._ask(message)
            case Typing(typing):
                typing_ = UserTyping(self._room.session_id, self.connection.id, typing)
                self._tell_others(typing_, slot=f"typing {self.connection.id}")
            case Cancel():
                self._room.cancel()
            case Ping():
                self._send(Pong(time.time()))

    def _ask(self, message: UserMessage) -> None:
        request, room = self.request, self._room
        message.session_id = room.session_id
        check_chat(request, message)
        idle = partial(request.app[CHATS].tidy, request[CALLER], room.session_id)
        room.ask(Question(request, message, self.tell), request.app[SETTINGS].chat.max_waiting, idle)
        self._tell_others(Said(room.session_id, self.connection.id, message.message))

    def _listen(self, stream: Stream) -> None:
        """Be told of the answer from its beginning, as far as that is still logged."""
        telling = Telling(stream.id)
        self.answers.start(stream, partial(self._show, telling), stream.id, after=stream.log.first_seq - 1)

    def _show(self, telling: Telling, _: int | None, event: StreamEvent) -> None:
        if words := telling.words_for(event):
            self._send(words)

    def _send(self, message: Message) -> None:
        self.connection.send(encode(message))

    def _tell_others(self, message: Message, slot: str | None = None) -> None:
        self._room.broadcast(encode(message), but=self.connection, slot=slot)
