"""Messages that clients send on websockets, tagged by `type`."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from service.params.native import ChatParams
from service.params.openai import ChatCompletionParams

StreamName = Annotated[str, Meta(max_length=128)]


class Cancel(Struct, tag_field="type", tag="cancel"):
    """What runs is to end."""


class ChatRequest(ChatParams, tag_field="type", tag="chat"):
    """`/ws/{client_id}`."""


class SocketCompletion(ChatCompletionParams, kw_only=True):
    """`/v1/chat/completions`: always streamed. `stream_id` comes back in all that answers it."""

    stream: bool | None = True
    stream_id: StreamName | None = None


class CancelCompletion(Struct, tag_field="type", tag="cancel"):
    """One of the socket's answers is to end, or without `stream_id` all."""

    stream_id: StreamName | None = None


# A type checker has no type for the type of a union.
ClientMessage: Any = ChatRequest | Cancel
