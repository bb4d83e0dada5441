"""The laws that edits keep, and what of the wire is refused."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.edits import Builder, Edit, nothing
from service.documents.operations import Compound, Delete, Insert, Operation, read, write
from service.documents.transform import compose, compose_all, invert, transform, transform_position
from service.errors import BadParams

CHARACTERS = st.characters(codec="utf-8", min_codepoint=0x20) | st.sampled_from("a😀𝔸é\u200d")
TEXTS = st.text(CHARACTERS, max_size=12)


@st.composite
def edits(draw: st.DrawFn, text: str) -> Edit:
    """Any edit of the text, its parts in any order that the builder is given."""
    built, left = Builder(), len(text)
    while left:
        built.insert(draw(st.text(CHARACTERS, max_size=3)))
        length = draw(st.integers(1, left))
        draw(st.sampled_from([built.retain, built.delete]))(length)
        left -= length
    built.insert(draw(st.text(CHARACTERS, max_size=3)))
    return built.build()


@st.composite
def chains(draw: st.DrawFn, num_edits: int = 3) -> tuple[str, list[Edit]]:
    """A text and edits that follow one another."""
    start = text = draw(TEXTS)
    chain = []
    for _ in range(num_edits):
        chain.append(draw(edits(text)))
        text = chain[-1].apply(text)
    return start, chain


@st.composite
def rivals(draw: st.DrawFn) -> tuple[str, Edit, Edit]:
    """A text and two edits of it."""
    text = draw(TEXTS)
    return text, draw(edits(text)), draw(edits(text))


@given(chains())
@settings(max_examples=60, deadline=None)
def test_compose_does_both_and_is_associative(case: tuple[str, list[Edit]]) -> None:
    text, (a, b, c) = case
    assert compose(a, b).apply(text) == b.apply(a.apply(text))
    assert compose(compose(a, b), c) == compose(a, compose(b, c)) == compose_all([a, b, c])
    assert compose(nothing(a.length), a) == a == compose(a, nothing(a.new_length))


@given(rivals())
@settings(max_examples=60, deadline=None)
def test_transformed_edits_meet(case: tuple[str, Edit, Edit]) -> None:
    text, a, b = case
    new_a, new_b = transform(a, b)
    assert new_b.apply(a.apply(text)) == new_a.apply(b.apply(text))
    assert compose(a, new_b) == compose(b, new_a)
    assert transform(a, nothing(a.length)) == (a, nothing(a.new_length))


@given(chains(1))
@settings(max_examples=60, deadline=None)
def test_an_inverse_takes_back(case: tuple[str, list[Edit]]) -> None:
    text, (edit,) = case
    inverse = invert(edit, text)
    changed = edit.apply(text)
    assert (len(text), len(changed)) == (edit.length, edit.new_length)
    assert inverse.apply(changed) == text
    assert invert(inverse, changed) == edit


@given(chains(1))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_as_the_same_edit(case: tuple[str, list[Edit]]) -> None:
    text, (edit,) = case
    wire = msgspec.json.encode(write(edit))
    assert read(msgspec.json.decode(wire, type=Operation), len(text)) == edit


@given(chains(1), st.integers(0, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_cursor_stays_at_its_neighbours(case: tuple[str, list[Edit]], position: int, is_own: bool) -> None:
    """Marked by an edit of its own: a cursor is where an insertion there would have come to be."""
    text, (edit,) = case
    position = min(position, len(text))
    moved = transform_position(edit, position, is_own=is_own)
    mark = read(Insert(position, "|"), len(text))
    new_mark = transform(edit, mark)[1] if is_own else transform(mark, edit)[0]
    assert new_mark == read(Insert(moved, "|"), edit.new_length)


def test_who_stands_first_is_the_callers_choice() -> None:
    a, b = read(Insert(1, "1"), 2), read(Insert(1, "2"), 2)
    assert transform(a, b)[1].apply(a.apply("xy")) == "x12y"
    assert transform(b, a)[1].apply(b.apply("xy")) == "x21y"


def test_a_replacement_has_one_form() -> None:
    after, before = Compound([Delete(0, 1), Insert(0, "é")]), Compound([Insert(0, "é"), Delete(1, 1)])
    assert read(after, 3) == read(before, 3) == Edit(("é", -1, 2), 3, 3)
    assert write(read(after, 3)) == before


def test_the_wire() -> None:
    sent = b'{"type":"compound","operations":[{"type":"insert","position":1,"text":"\\ud83d\\ude00"},\
{"type":"delete","start":2,"length":1}]}'
    operation = msgspec.json.decode(sent, type=Operation)
    assert operation == Compound([Insert(1, "😀"), Delete(2, 1)])
    assert read(operation, 3).apply("😀bc") == "😀😀c"
    assert write(nothing(4)) == Delete(0, 0) and read(Delete(0, 0), 4).is_nothing
    assert read(Compound([]), 4) == read(Insert(2, ""), 4) == nothing(4)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Insert(-1, "x"), "operation.position -1 < 0"),
        (Insert(4, "x"), "operation.position 4 > 3 (length of the text)"),
        (Insert(0, "x\ud800"), "operation.text has a lone surrogate at 1"),
        (Delete(4, 0), "operation.start 4 > 3 (length of the text)"),
        (Delete(0, -1), "operation.length -1 < 0"),
        (Delete(1, 3), "operation.length 3 > 2 (code points from 1 to the end)"),
        (Delete(1, 10**30), f"operation.length {10**30} > 2 (code points from 1 to the end)"),
        (
            Compound([Delete(0, 3), Insert(1, "x")]),
            "operation.operations[1].position 1 > 0 (length of the text)",
        ),
        (Compound([Insert(0, "x")] * 3), "operation.operations 3 > 2 (parts of a compound)"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(operation: Operation, message: str) -> None:
    with pytest.raises(BadParams) as refused:
        read(operation, 3, max_parts=2)
    assert refused.value.message == message
    assert refused.value.param == message.split()[0]


def test_edits_for_another_text_are_a_programmers_mistake() -> None:
    for call in (compose, transform):
        with pytest.raises(ValueError, match="a text of 2 code points, an edit for 3"):
            call(nothing(2), nothing(3))
    with pytest.raises(ValueError, match="a text of 1 code points, an edit for 3"):
        nothing(3).apply("x")
