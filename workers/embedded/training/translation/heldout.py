"""What the training text never contains: pairs of words, and words in most patterns."""

from zlib import crc32

# One pair of a verb (or an adjective) and a noun in so many is kept back.
SHARE_PAIRS, SHARE_WORDS = 12, 14

# Patterns in which a rare word is met in training; in every other it is new.
RARE_MAY = frozenset({"this is", "there is", "quality", "present", "past"})


def _draw(text: str) -> int:
    return crc32(text.encode())


def is_new_pair(first: str, second: str) -> bool:
    """Whether these two words never meet in a clause of the training text."""
    return bool(first and second) and _draw(f"{first}+{second}") % SHARE_PAIRS == 0


def is_rare(word: str) -> bool:
    """Whether the training text has this word in few patterns only."""
    return bool(word) and _draw(f"rare {word}") % SHARE_WORDS == 0
