"""Cuts a conversation down to what may be kept of it: its beginning goes, its system prompt stays."""

from collections.abc import Callable, Sequence

from workers.messages import ChatMessage

Size = Callable[[ChatMessage], int]


def trimmed(messages: Sequence[ChatMessage], most: int, size: Size) -> list[ChatMessage]:
    """The leading system messages and the newest others, as many as have a `size` of at most `most` together.

    What is cut begins with a user's message. The newest of these and what follows it stay in any case:
    without it there is nothing to answer, and that it is too long is its author's to hear. `size` is asked
    for what stays and for one exchange more, however long the conversation.
    """
    num_system = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    left = most - sum(map(size, messages[:num_system]))
    start = None
    for place in range(len(messages) - 1, num_system - 1, -1):
        left -= size(messages[place])
        if left < 0 and start is not None:
            break
        if messages[place].role == "user":
            start = place
    if start is None or left >= 0:
        return [*messages]
    return [*messages[:num_system], *messages[start:]]


def num_answer_tokens(max_tokens: int, max_model_len: int) -> int:
    """What a trimmed conversation leaves of the context to its answer.

    All that was asked for, but never more than half: who asks for very long answers still wants them to
    know what was said before.
    """
    return min(max_tokens, max_model_len // 2)
