"""What `/collaborate/{doc_id}` says."""

from typing import Any

from msgspec import Struct

from service.dialects.dialect import encode
from service.documents.operations import Operation


class Message(Struct, tag_field="type", omit_defaults=True):
    """One JSON object on the wire; what is None is left out."""

    def encode(self) -> bytes:
        return encode(self)


class DocumentState(Message, tag="document_state"):
    """The text as it is. `session_id` is the socket's own; an operation that is named was not accepted."""

    doc_id: str
    content: str
    version: int
    session_id: str
    cursors: dict[str, int]
    operation_id: str | None = None


class UserJoined(Message, tag="user_joined"):
    session_id: str


class UserLeft(Message, tag="user_left"):
    session_id: str


class OperationMade(Message, tag="operation"):
    """What somebody else did; it leads from the version before to `version`."""

    operation: Operation
    version: int
    author: str


class Ack(Message, tag="ack"):
    """The client's own operation became `version`; `operation` is what it came to, where that is another."""

    version: int
    operation: Operation | None = None
    operation_id: str | None = None


class CursorUpdate(Message, tag="cursor_update"):
    """Where somebody's cursor stands in the text of `version`."""

    session_id: str
    position: int
    version: int


class AssistStarted(Message, tag="assist_started"):
    """The model writes, as `author`."""

    assist_id: str
    author: str


class AssistDone(Message, tag="assist_done"):
    """The one ending of an assist."""

    assist_id: str
    finish_reason: str
    usage: dict[str, Any]
    error: dict[str, Any] | None = None
