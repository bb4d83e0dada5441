"""A conversation cut to a budget: system prompt and newest messages stay, in whole exchanges."""

import pytest

from workers.messages import ChatMessage
from workers.trimming import num_answer_tokens, trimmed

ROLES = {"s": "system", "u": "user", "a": "assistant"}


def talk(text: str) -> list[ChatMessage]:
    """`u3 a2`: a user's message of three characters, an assistant's of two."""
    return [ChatMessage(ROLES[word[0]], word[0] * int(word[1:])) for word in text.split()]


def num_chars(message: ChatMessage) -> int:
    return len(message.content)


@pytest.mark.parametrize(
    ("before", "max_chars", "after"),
    [
        ("", 5, ""),
        ("u3 a2", 5, "u3 a2"),
        ("u3 a2 u1", 5, "u1"),
        ("u3 a2 u1 a1", 4, "u1 a1"),
        ("s2 u3 a2 u1 a1", 9, "s2 u3 a2 u1 a1"),
        ("s2 u3 a2 u1 a1", 8, "s2 u1 a1"),
        ("s2 s2 u3 a2 u1", 5, "s2 s2 u1"),
        # What would not fit anyway.
        ("s2 u3 a2 u9", 5, "s2 u9"),
        ("s9 u3 a2 u1 a1", 5, "s9 u1 a1"),
        # No answer to what is gone, and only the leading system prompts.
        ("u3 a2 a2 u1", 5, "u1"),
        ("u3 s2 u1", 3, "u1"),
        # Several people before one answer.
        ("u3 u1 u1 a1", 3, "u1 u1 a1"),
        ("a3 a3", 2, "a3 a3"),
        ("s1 s1", 1, "s1 s1"),
        ("a3 u1", 4, "a3 u1"),
        ("a3 u1", 3, "u1"),
    ],
)
def test_trimmed(before: str, max_chars: int, after: str) -> None:
    assert trimmed(talk(before), max_chars, num_chars) == talk(after)


def test_asks_only_of_what_may_stay() -> None:
    """However long the history, the cost is that of the context."""
    num_asked = 0

    def size(message: ChatMessage) -> int:
        nonlocal num_asked
        num_asked += 1
        return num_chars(message)

    assert len(trimmed(talk("u1 a1 " * 10_000), 1_000, size)) == 1_000
    assert num_asked < 1_003


def test_an_answer_has_up_to_half_the_context() -> None:
    assert [num_answer_tokens(max_tokens, 100) for max_tokens in (1, 50, 51, 1_000)] == [1, 50, 50, 50]
