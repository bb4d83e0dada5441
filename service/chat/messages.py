"""What `/chat` says. The `author` of something is the id of his connection."""

from typing import Any

from msgspec import Struct


class Message(Struct, frozen=True, tag_field="type"):
    """Told apart by `type`."""


class Connected(Message, frozen=True, tag="system"):
    message: str
    session_id: str
    num_messages: int


class Said(Message, frozen=True, tag="user_message"):
    """To the others: somebody asked this."""

    session_id: str
    author: str
    message: str


class UserTyping(Message, frozen=True, tag="user_typing"):
    session_id: str
    author: str
    typing: bool


class AiTyping(Message, frozen=True, tag="ai_typing"):
    stream_id: str
    typing: bool = True


class Partial(Message, frozen=True, tag="ai_message_partial"):
    """`content` is all so far; `token` what is new: several joined, for who is behind."""

    stream_id: str
    content: str
    token: str


class Complete(Message, frozen=True, tag="ai_message_complete"):
    """However the answer ended: `finish_reason` says."""

    stream_id: str
    content: str
    finish_reason: str
    usage: dict[str, Any]


class Broken(Message, frozen=True, tag="error"):
    """The answer failed; `content` is what there was of it."""

    stream_id: str
    content: str
    error: dict[str, Any]
    usage: dict[str, Any]


class Pong(Message, frozen=True, tag="pong"):
    """`timestamp`: seconds since the epoch."""

    timestamp: float
