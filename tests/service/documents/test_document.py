"""All copies become equal, whatever the delays; what cannot be taken leaves the document as it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.documents.document import Document, DocumentLimits
from service.documents.history import COMPONENT_CHARS, NeedsState
from service.documents.operations import Compound, Delete, Insert
from service.errors import BadParams
from tests.service.documents.room import NUM_INTERLEAVINGS, Decisions, Room

NUM_CHANGES = 50
CHANCES = st.binary(min_size=2_000, max_size=2_000)


def require_converged(room: Room) -> None:
    assert {editor.text for editor in room.editors} == {room.document.content}
    assert {editor.version for editor in room.writers} == {room.document.version}
    content = room.document.content
    assert len(content) == len(set(content))
    assert set(content) == room.inserted - room.deleted


@given(CHANCES)
@settings(max_examples=NUM_INTERLEAVINGS, deadline=None)
def test_all_copies_become_equal_and_nothing_is_lost(chances: bytes) -> None:
    room = Room(Document("abc"), Decisions(chances))
    room.run(NUM_CHANGES)
    require_converged(room)
    assert not room.num_states


@given(CHANCES)
@settings(max_examples=NUM_INTERLEAVINGS, deadline=None)
def test_who_is_too_far_behind_loses_nothing_either(chances: bytes) -> None:
    room = Room(Document("abc", limits=DocumentLimits(max_history=2)), Decisions(chances))
    room.run(NUM_CHANGES)
    require_converged(room)


@given(st.binary(min_size=400, max_size=400))
@settings(max_examples=NUM_INTERLEAVINGS, deadline=None)
def test_undo_takes_back_ones_own_changes_only(chances: bytes) -> None:
    room = Room(Document(""), Decisions(chances))
    own: set[str] = set()
    deleted_by_others: set[str] = set()
    for _ in range(10):
        inserted = set(room.inserted)
        room.change(0)
        own |= room.inserted - inserted
        deleted = set(room.deleted)
        room.change(1)
        deleted_by_others |= room.deleted - deleted
        room.carry_in(1)
        room.carry_in(0)
        room.carry_out(0)
    for _ in range(10):
        room.writers[0].undo()
    room.settle()
    assert {editor.text for editor in room.editors} == {room.document.content}
    assert not own & set(room.document.content)
    assert room.inserted - own - deleted_by_others <= set(room.document.content)


def test_who_was_accepted_first_stands_first() -> None:
    document = Document("ab")
    document.submit(Insert(1, "1"), 0, "late")
    applied = document.submit(Insert(1, "2"), 0, "later")
    assert document.content == "a12b"
    assert (applied.version, applied.author, applied.operation) == (2, "later", Insert(2, "2"))


def test_a_deletion_keeps_what_was_inserted_meanwhile() -> None:
    document = Document("abcd")
    document.submit(Insert(2, "😀"), 0, "a")
    applied = document.submit(Delete(1, 2), 0, "b")
    assert document.content == "a😀d"
    assert applied.operation == Compound([Delete(1, 1), Delete(2, 1)])
    assert document.submit(Delete(1, 2), 0, "c").operation == Delete(0, 0)


def test_without_a_version_the_present_one_is_meant() -> None:
    document = Document("ab", version=7)
    document.submit(Insert(0, "😀"), 7, "a")
    assert document.submit(Insert(3, "!"), None, "b").version == 9
    assert document.content == "😀ab!"


@pytest.mark.parametrize("version", [-1, 6, 9])
def test_an_unknown_version_needs_a_fresh_state(version: int) -> None:
    document = Document("ab", version=7)
    document.submit(Insert(0, "x"), 7, "a")
    with pytest.raises(NeedsState, match=rf"version {version} is not within 7\.\.8"):
        document.submit(Insert(0, "y"), version, "b")
    assert (document.content, document.version) == ("xab", 8)


def test_the_history_is_bounded_in_number_and_characters() -> None:
    document = Document(
        limits=DocumentLimits(max_history=3, max_history_chars=3 * (10 + 2 * COMPONENT_CHARS))
    )
    for _ in range(5):
        document.submit(Insert(0, "x"), None, "a")
    document.submit(Insert(0, "y"), 2, "a")
    document.submit(Insert(0, "z" * 80), None, "a")
    assert document.num_history_chars == 80 + 2 * COMPONENT_CHARS
    with pytest.raises(NeedsState):
        document.submit(Insert(0, "y"), 5, "a")
    document.submit(Insert(0, "y" * 200), None, "a")
    assert document.num_history_chars == 0
    assert document.submit(Insert(0, "!"), None, "a").version == 9


def test_a_large_operation_may_not_be_far_behind() -> None:
    document = Document("abc", limits=DocumentLimits(max_transform_steps=10))
    large = Compound([Insert(0, "x"), Insert(2, "x"), Insert(4, "x")])
    for _ in range(2):
        document.submit(Insert(0, "y"), None, "a")
    with pytest.raises(NeedsState, match="6 components against 2 versions: 12 steps"):
        document.submit(large, 0, "b")
    assert document.content == "yyabc"
    assert document.submit(large, 1, "b").version == 3
    # Nor may a small one have to pass a large edit and some more.
    assert document.submit(Insert(0, "z"), 2, "a").version == 4
    with pytest.raises(NeedsState, match="2 components against 4 versions"):
        document.submit(Insert(0, "z"), 0, "a")
    with pytest.raises(NeedsState, match="1 components against 4 versions"):
        document.move_cursor("a", 0, 0)


def test_a_document_does_not_grow_past_its_limit() -> None:
    document = Document("abc", limits=DocumentLimits(max_chars=4))
    with pytest.raises(BadParams, match=r"document length 5 > 4") as refused:
        document.submit(Insert(3, "de"), 0, "a")
    assert refused.value.code == "document_too_long"
    assert (document.content, document.version) == ("abc", 0)
    assert document.submit(Compound([Delete(0, 2), Insert(0, "def")]), 0, "a").version == 1
    # A document that was stored under a larger limit can still be made smaller.
    large = Document("abcdef", limits=DocumentLimits(max_chars=4))
    large.submit(Delete(0, 1), 0, "a")
    assert large.content == "bcdef"


def test_an_operation_is_read_against_its_own_version() -> None:
    document = Document("abcdef")
    document.submit(Delete(0, 6), 0, "a")
    document.submit(Insert(6, "!"), 0, "b")
    with pytest.raises(BadParams, match=r"operation.position 6 > 1 \(length of the text\)"):
        document.submit(Insert(6, "?"), 2, "b")
    assert (document.content, document.version) == ("!", 2)


def test_cursors_move_along() -> None:
    document = Document("abcdef")
    for author, position in (("a", 2), ("b", 2), ("c", 4), ("d", 99)):
        document.move_cursor(author, position)
    document.submit(Insert(2, "12"), None, "a")
    assert document.cursors == {"a": 4, "b": 2, "c": 6, "d": 8}
    document.submit(Delete(1, 6), None, "b")
    assert document.cursors == {"a": 1, "b": 1, "c": 1, "d": 2}
    assert document.move_cursor("c", 5, 0) == 1
    document.drop_cursor("d")
    assert set(document.cursors) == {"a", "b", "c"}
    with pytest.raises(BadParams, match="position -1 < 0"):
        document.move_cursor("a", -1)
    with pytest.raises(NeedsState):
        document.move_cursor("a", 0, 3)
