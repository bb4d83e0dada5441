"""Messages that clients send on websockets, tagged by `type`."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from service.params.native import ChatParams, SessionName
from service.params.openai import ChatCompletionParams

StreamName = Annotated[str, Meta(max_length=128)]


class Cancel(Struct, tag_field="type", tag="cancel"):
    """What runs is to end."""


class ChatRequest(ChatParams, tag_field="type", tag="chat"):
    """`/ws/{client_id}`."""


class UserMessage(ChatParams, tag_field="type", tag="user_message"):
    """`/chat`. The socket's session is the message's, whatever `session_id` says."""


class Typing(Struct, tag_field="type", tag="typing"):
    """`/chat`: whether this member is typing."""

    typing: bool


class Ping(Struct, tag_field="type", tag="ping"):
    """`/chat`: is answered by `pong`."""


class SocketCompletion(ChatCompletionParams, kw_only=True):
    """`/v1/chat/completions`: always streamed. `stream_id` comes back in all that answers it."""

    stream: bool | None = True
    stream_id: StreamName | None = None


class CancelCompletion(Struct, tag_field="type", tag="cancel"):
    """One of the socket's answers is to end, or without `stream_id` all."""

    stream_id: StreamName | None = None


AnyChatMessage = UserMessage | Typing | Cancel | Ping

# A type checker has no type for the type of a union.
ClientMessage: Any = ChatRequest | Cancel
ChatMessageIn: Any = AnyChatMessage


class SessionQuery(Struct):
    """Of `/chat`. Without an id a new session begins."""

    session_id: SessionName | None = None
