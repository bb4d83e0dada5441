"""`/collaborate/{doc_id}/yjs`: one who edits a document through Yjs, in the words of y-websocket."""

from typing import assert_never

from aiohttp import WSCloseCode, web

from service.documents.room import DocumentRoom
from service.documents.yjs_text import NOTHING, YjsText
from service.documents.yjs_wire import (
    Awareness,
    Message,
    QueryAwareness,
    Step1,
    Update,
    awareness_frame,
    read_frame,
    step1_frame,
    step2_frame,
)
from service.errors import ApiError, BadParams
from service.sockets.connection import Connection
from service.sockets.talk import Talk

# y-websocket connects again after any other code than 4400 to 4499, which stand for HTTP's.
FIRST_CLOSE_CODE = 4_000


class YjsTalk(Talk[Message | None]):
    """The protocol has no words for errors: what is refused closes the socket.

    A client whose update was refused could not go on: all that it does later builds on it.
    """

    def __init__(
        self, request: web.Request, connection: Connection, room: DocumentRoom, text_name: str | None
    ) -> None:
        super().__init__(request, connection)
        connection.speaks_json = False
        self._room = room
        self._text_name = text_name
        self._is_in = False

    async def begin(self) -> None:
        try:
            await self._room.kept.ready_for_yjs(self._text_name)
        except ApiError as error:
            self.tell(error)
            return
        self._send(step1_frame(self._yjs.vector()))
        self._tell_presence()
        self._room.join(self._room.editors, self.connection)
        self._is_in = True

    def leave(self) -> None:
        self._is_in = False
        self._room.leave(self._room.editors, self.connection)

    def read(self, message: str | bytes) -> Message | None:
        if isinstance(message, str):
            raise BadParams("expected a binary frame, not a text one")
        return read_frame(message)

    async def take(self, message: Message | None) -> None:
        if not self._is_in:
            return
        match message:
            case None:
                pass
            case Step1(vector):
                self._send(step2_frame(self._yjs.missing(vector)))
            case Update():
                self._merge(message)
            case Awareness(update):
                news = self._room.presence.merge(update, self.connection.id)
                self._room.tell_presence(news, self.connection)
            case QueryAwareness():
                self._tell_presence()
            case _:
                assert_never(message)

    def tell(self, error: ApiError, **_: object) -> None:
        self._is_in = False
        if error.status >= 500:
            self.connection.close(WSCloseCode.TRY_AGAIN_LATER, error.message)
        else:
            self.connection.close(FIRST_CLOSE_CODE + error.status, error.message)

    @property
    def _yjs(self) -> YjsText:
        assert self._room.document.yjs
        return self._room.document.yjs

    def _merge(self, message: Update) -> None:
        if message.update == NOTHING:
            return
        change = self._room.merge(message.update, self.connection)
        if not (change.update or message.is_answer):
            # Known already, or it builds on what is missing here: then the answer brings both.
            self._send(step1_frame(self._yjs.vector()))

    def _tell_presence(self) -> None:
        if update := self._room.presence.everyone():
            self._send(awareness_frame(update))

    def _send(self, frame: bytes) -> None:
        self.connection.send(frame, is_binary=True)
