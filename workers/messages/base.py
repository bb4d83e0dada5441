"""What every message is, and what several kinds carry."""

from msgspec import Struct

JobId = int


class Message(Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Base of all messages; the tag is the class name."""


class Usage(Message, frozen=True, gc=False):
    """What a job has used and made so far; `cached_tokens` of its prompts' had been computed for others."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    num_items: int = 0
    cached_tokens: int = 0
