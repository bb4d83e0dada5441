"""Cuts text into parts of a bounded size: between sentences, else between words, else anywhere."""

import re
from collections.abc import Callable, Iterator

# A sentence ends after . ! ? … or their likes in other scripts (with closing quotes), or a line's end.
SENTENCE = re.compile(
    r"[^\n]*?(?:[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]+[\u300d\u300f]*|\n|$)\s*|[^\n]+"
)
WORD = re.compile(r"\S+\s*|\s+")


def cut(text: str, limit: int, measure: Callable[[str], int] = len) -> list[str]:
    """Parts of at most `limit`, in order, without the space between them; none is empty.

    `measure` says how large a text is; two texts together must not be larger than their sum.
    """
    return [
        part
        for part in (part.strip() for part in _pack(_small(text, limit, measure), limit, measure))
        if part
    ]


def sentences(text: str, limit: int, measure: Callable[[str], int] = len) -> list[str]:
    """The text's sentences, as `cut` would cut them, but none joined."""
    return [part for part in (part.strip() for part in _small(text, limit, measure)) if part]


def _pack(pieces: Iterator[str], limit: int, measure: Callable[[str], int]) -> Iterator[str]:
    """Join neighbours as long as they fit."""
    parts: list[str] = []
    size = 0
    for piece in pieces:
        piece_size = measure(piece)
        # The space at a part's end is not kept.
        if parts and size + measure(piece.rstrip()) > limit:
            yield "".join(parts)
            parts, size = [], 0
        parts.append(piece)
        size += piece_size
    yield "".join(parts)


def _small(text: str, limit: int, measure: Callable[[str], int]) -> Iterator[str]:
    """Sentences; the words of those that are too long; slices of words that are."""
    for sentence in SENTENCE.findall(text):
        if measure(sentence.rstrip()) <= limit:
            yield sentence
            continue
        for word in WORD.findall(sentence):
            if measure(word.rstrip()) <= limit:
                yield word
            else:
                yield from _slices(word, limit, measure)


def _slices(word: str, limit: int, measure: Callable[[str], int]) -> Iterator[str]:
    while word:
        length = len(word)
        while length > 1 and measure(word[:length]) > limit:
            length = (length + 1) // 2
        yield word[:length]
        word = word[length:]
