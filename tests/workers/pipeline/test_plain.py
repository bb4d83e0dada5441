"""Cleaning, chunking and items, and how text is cut."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.messages import PipelineWork
from workers.pipeline.plain import chunk, clean, process_items
from workers.pipeline.sentences import cut

WORK = PipelineWork([], [], chunk_size=20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  two\t words \n", "two words"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\x00b\x1b[0m", "ab[0m"),
        ("\u0634\u0643\u0631\u0627 \u0644\u0643", "\u0634\u0643\u0631\u0627 \u0644\u0643"),
        ("\U0001f98a\u200d\U0001f525 ok", "\U0001f98a\u200d\U0001f525 ok"),
        ("\x00\x01", ""),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text, WORK) == expected


def test_chunks_end_with_sentences() -> None:
    assert chunk("One is here. Two is here. Three.", WORK) == ["One is here.", "Two is here. Three."]


def test_long_sentences_are_cut_between_words() -> None:
    assert chunk("a sentence that has no end at all", WORK) == ["a sentence that has", "no end at all"]


def test_a_long_word_is_cut_anywhere() -> None:
    parts = cut("x" * 50, 20)
    assert "".join(parts) == "x" * 50
    assert max(map(len, parts)) <= 20


@given(st.text(max_size=200), st.integers(1, 50))
def test_cutting_keeps_every_character_but_space(text: str, limit: int) -> None:
    parts = cut(text, limit)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part and len(part) <= limit and part == part.strip() for part in parts)


@given(st.text(max_size=100), st.integers(4, 30))
def test_cutting_by_another_measure(text: str, limit: int) -> None:
    parts = cut(text, limit, lambda part: len(part.encode("utf-8", "surrogatepass")))
    assert all(len(part.encode("utf-8", "surrogatepass")) <= limit for part in parts)


def test_items() -> None:
    # The digests are those of `printf abc | md5sum` and its like.
    results: list[Any] = process_items(["abc", "stra\u00dfe"], WORK)
    assert [(r.original, r.processed, r.length, r.hash) for r in results] == [
        ("abc", "ABC", 3, "90015098"),
        ("stra\u00dfe", "STRASSE", 6, "ddc40dab"),
    ]
