"""Cuts a conversation down to what a model can read: its beginning goes, its system prompt stays."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from workers.messages import ChatMessage

Count = Callable[[Sequence[ChatMessage]], int]


def trimmed(messages: Sequence[ChatMessage], max_tokens: int, count: Count) -> list[ChatMessage]:
    """The leading system messages and as many of the newest as `count` finds to be at most `max_tokens`.

    What is kept begins with a user's message. The newest of these and what follows it stay in any case:
    without it there is nothing to answer, and that it is too long is its author's to hear. `count` is asked
    O(log n) times; more messages must not count for less.
    """
    num_system = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    system, rest = messages[:num_system], messages[num_system:]
    starts = [i for i, message in enumerate(rest) if message.role == "user"]
    if not starts or count(messages) <= max_tokens:
        return [*messages]
    fits = bisect_left(starts, True, key=lambda start: count([*system, *rest[start:]]) <= max_tokens)
    return [*system, *rest[starts[min(fits, len(starts) - 1)] :]]


def count_chars(messages: Sequence[ChatMessage]) -> int:
    """Characters of all contents."""
    return sum(len(message.content) for message in messages)
