"""One loop under every websocket route: a message comes, is read, is taken; what is wrong is told."""

import logging
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from aiohttp import web

from service.dialects.dialect import encode
from service.errors import ApiError, BadParams, error_object
from service.params.read import parse_json
from service.sockets.answers import Answers
from service.sockets.connection import Connection

log = logging.getLogger(__name__)

M = TypeVar("M")


class Talk(ABC, Generic[M]):
    """One socket's conversation. Messages are taken in order; after a bad one it goes on."""

    # What clients may send: a msgspec struct, or a union of them, tagged by `type`.
    kind: ClassVar[Any] = None

    def __init__(self, request: web.Request, connection: Connection) -> None:
        self.request = request
        self.connection = connection

    async def run(self) -> None:
        """Talk until the socket closes."""
        try:
            await self.begin()
            while (message := await self.connection.receive()) is not None:
                await self._answer(message)
        finally:
            self.leave()

    async def begin(self) -> None:
        """What is said before the first message."""

    @abstractmethod
    async def take(self, message: M) -> None:
        """Do what the message asks for. Raises ApiError. The next one waits: nothing long here."""

    def leave(self) -> None:
        """The socket has closed, or is about to: let go of all that was held for it."""

    def read(self, message: str | bytes) -> M:
        """Raises BadParams."""
        read: M = parse_json(text_of(message), self.kind)
        return read

    def label(self, message: M) -> dict[str, Any]:  # noqa: ARG002
        """What tells an answer to this message from other answers."""
        return {}

    def tell(self, error: ApiError, **label: Any) -> None:
        self.connection.send(encode({"type": "error", **label, "error": error_object(error)}))

    async def _answer(self, message: str | bytes) -> None:
        label: dict[str, Any] = {}
        try:
            read = self.read(message)
            label = self.label(read)
            await self.take(read)
        except ApiError as error:
            self.tell(error, **label)
        except Exception:
            log.exception("message failed", extra={"socket": self.connection.id, "route": self.request.path})
            self.tell(ApiError("internal error; the log has it", code="internal"), **label)


class AnsweringTalk(Talk[M]):
    """One whose messages are answered by streams; what is on its way when the socket closes is let go."""

    answers_one_by_one: ClassVar[bool] = False

    def __init__(self, request: web.Request, connection: Connection) -> None:
        super().__init__(request, connection)
        self.answers = Answers(connection, one_by_one=self.answers_one_by_one)

    def leave(self) -> None:
        self.answers.leave()


def text_of(message: str | bytes) -> str:
    """Raises BadParams for a binary frame."""
    if isinstance(message, bytes):
        raise BadParams("expected a text frame, not a binary one")
    return message
