"""Both kinds of editors on one text: all copies become equal, and what is refused changes nothing."""

import gc
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pycrdt import Array, Doc, Map

from config.command_line import load
from service.documents.history import NeedsState
from service.documents.operations import Compound, Delete, Insert
from service.documents.shared import MAX_OPERATION_IDS, SharedDocument
from service.errors import BadParams, Conflict
from tests.service.documents.mixed_room import MixedRoom
from tests.service.documents.room import NUM_INTERLEAVINGS, Decisions
from tests.service.documents.yjs_editor import TEXT, YjsEditor

NUM_CHANGES = 50
NOTHING_KNOWN = b"\x00"
SETTINGS = load([], {}).documents


def shared(content: str = "", **changes: Any) -> SharedDocument:
    document = SharedDocument(replace(SETTINGS, **changes))
    if content:
        document.submit(Insert(0, content), None, "nobody")
    document.open_yjs(None)
    return document


def joined(document: SharedDocument) -> YjsEditor:
    editor = YjsEditor()
    assert document.yjs
    editor.sync(document.yjs.missing(editor.doc.get_state()), document.yjs.vector())
    editor.outbox.clear()
    return editor


def whole(editor: YjsEditor) -> bytes:
    return editor.doc.get_update(NOTHING_KNOWN)


def require_same(document: SharedDocument, content: str) -> None:
    """The document is whole, in both forms, and still takes edits of both kinds."""
    assert (document.content, str(document.yjs)) == (content, content)
    editor = joined(document)
    assert editor.text == content
    editor.change(Insert(len(content), "!"))
    applied, _ = document.merge(editor.outbox.pop(), "y")
    assert applied and applied.operation == Insert(len(content), "!")
    editor.doc.apply_update(document.submit(Delete(len(content), 1), None, "x").update)
    assert (document.content, str(document.yjs), editor.text) == (content, content, content)


@given(st.binary(min_size=2_000, max_size=2_000))
@settings(max_examples=NUM_INTERLEAVINGS, deadline=None)
def test_copies_of_both_kinds_become_equal_and_nothing_is_lost(chances: bytes) -> None:
    room = MixedRoom(shared("abc"), Decisions(chances))
    room.run(NUM_CHANGES)
    (text,) = room.texts
    assert len(text) == len(set(text))
    assert set(text) == room.inserted - room.deleted
    assert not room.num_states


def test_positions_are_code_points_on_one_side_and_bytes_on_the_other() -> None:
    document = shared("a😀e\u0301b")
    editor = joined(document)
    editor.change(Compound([Insert(2, "🦊é"), Delete(0, 2)]))
    applied, _ = document.merge(editor.outbox.pop(), "y")
    assert applied and applied.operation == Compound([Insert(0, "🦊é"), Delete(2, 2)])
    assert document.content == editor.text == "🦊ée\u0301b"
    change = document.submit(Compound([Delete(3, 1), Insert(1, "😀")]), None, "x")
    editor.doc.apply_update(change.update)
    assert document.content == editor.text == "🦊😀éeb"


def test_formats_pictures_and_other_types_are_not_text() -> None:
    document = shared("a😀b")
    editor = joined(document)
    known = editor.doc.get_state()
    editor.shared.format(0, 5, {"bold": True})
    editor.shared.insert_embed(5, {"image": "x"})
    editor.shared.insert_embed(0, Map({"a": 1}))
    other: Array[str] = editor.doc.get("other", type=Array)  # type: ignore[arg-type,assignment]
    other.append("z")
    version = document.version
    applied, update = document.merge(editor.doc.get_update(known), "y")
    assert applied is None and update and document.version == version
    for operation in (Insert(0, "é"), Insert(3, "x"), Delete(1, 3), Insert(2, "end")):
        editor.doc.apply_update(document.submit(operation, None, "x").update)
        assert editor.text == document.content == str(document.yjs)
    assert document.content == "ébend"
    editor.change(Insert(0, "first "))
    known = editor.doc.get_state()
    document.merge(editor.outbox.pop(), "y")
    assert document.content == editor.text


@pytest.mark.parametrize("kind", [Array(["x", 1]), Array([[1]])])
def test_the_text_is_nothing_but_a_text(kind: Any) -> None:
    document = shared("abc")
    other: Doc[Any] = Doc()
    other[TEXT] = kind
    with pytest.raises(BadParams, match="is a text here"):
        document.merge(other.get_update(), "y")
    require_same(document, "abc")


def test_a_client_that_never_left_doubles_nothing() -> None:
    """Its history is that of the document before it was stored."""
    document = shared("abc")
    editor = joined(document)
    document.submit(Insert(3, "d"), None, "x")
    editor.change(Insert(0, "_"))
    again = SharedDocument(SETTINGS, document.encode())
    assert again.yjs and (again.content, again.version) == ("abcd", document.version)
    again.merge(whole(editor), "y")
    editor.sync(again.yjs.missing(editor.doc.get_state()), again.yjs.vector())
    assert again.content == editor.text == "_abcd"
    applied, update = again.merge(whole(editor), "y")
    assert not applied and update == b""


def test_versions_go_on_after_a_reload() -> None:
    document = SharedDocument(SETTINGS)
    assert document.is_empty
    document.submit(Insert(0, "abc"), None, "x")
    document.remember("one")
    again = SharedDocument(SETTINGS, document.encode())
    assert (again.content, again.version, again.accepted_as("one")) == ("abc", 1, 1)
    assert again.submit(Insert(3, "d"), 1, "x").update == b""
    with pytest.raises(NeedsState):
        again.submit(Insert(0, "x"), 0, "x")


def test_the_newest_operation_ids_are_remembered() -> None:
    document = SharedDocument(SETTINGS)
    for number in range(MAX_OPERATION_IDS + 1):
        document.submit(Insert(0, "x"), None, "x")
        document.remember(str(number))
    assert document.accepted_as("0") is None
    assert document.accepted_as("1") == 2


def test_a_document_has_one_name_for_its_text() -> None:
    document = SharedDocument(SETTINGS)
    document.open_yjs("quill")
    document.open_yjs(None)
    with pytest.raises(Conflict, match="is called 'quill'"):
        document.open_yjs("monaco")
    again = SharedDocument(SETTINGS, document.encode())
    assert again.yjs and again.yjs.name == "quill"


def too_long(editor: YjsEditor) -> bytes:
    editor.change(Insert(0, "xyz"))
    return editor.outbox.pop()


def too_much(editor: YjsEditor) -> bytes:
    editor.shared.format(0, 1, {"note": "x" * 3_000})
    return whole(editor)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (too_long, "document_too_long"),
        (too_much, "document_too_long"),
        (lambda _: b"", "bad_update"),
        (lambda _: b"\xff" * 40, "bad_update"),
        (lambda editor: whole(editor)[:-2], "bad_update"),
    ],
)
def test_what_is_refused_leaves_the_document_untouched(make: Callable[[YjsEditor], bytes], code: str) -> None:
    document = shared("abc", max_chars=5, max_yjs_bytes=2_000)
    update = make(joined(document))
    version = document.version
    with pytest.raises(BadParams) as refused:
        document.merge(update, "y")
    assert (refused.value.code, document.version) == (code, version)
    require_same(document, "abc")


def test_an_operation_that_the_history_has_no_room_for_is_refused() -> None:
    document = shared("abc", max_yjs_bytes=2_000)
    version = document.version
    with pytest.raises(BadParams, match=r"bytes > 2000 \(documents.max_yjs_bytes\)"):
        document.submit(Insert(0, "x" * 3_000), None, "x")
    assert document.version == version
    require_same(document, "abc")


@given(st.integers(0, 2**32))
@settings(max_examples=NUM_INTERLEAVINGS, deadline=None)
def test_no_bytes_break_a_document(seed: int) -> None:
    """Some of these make pycrdt's core panic."""
    chance, document = Random(seed), shared("abc")
    editor = joined(document)
    for _ in range(20):
        editor.change(Insert(chance.randrange(len(editor.text) + 1), chance.choice(["x", "😀", "éé"])))
    pool = [whole(editor), *editor.outbox]
    for _ in range(20):
        update = bytearray(chance.choice(pool))
        for _ in range(chance.randrange(1, 5)):
            update[chance.randrange(len(update))] = chance.choice(
                [0, 1, 127, 128, 255, chance.randrange(256)]
            )
        try:
            document.merge(bytes(update), "y")
        except BadParams:
            document.reconcile()
        assert document.content == str(document.yjs)
    # The server's two forms agree, and go on. What such bytes mean to another client, no Yjs can say.
    editor = joined(document)
    for part in ("x", "é😀"):
        editor.doc.apply_update(document.submit(Insert(0, part), None, "x").update)
        editor.change(Insert(len(editor.text), part))
        applied, _ = document.merge(editor.outbox.pop(), "y")
        assert applied and document.content == str(document.yjs)


def num_docs() -> int:
    gc.collect()
    return sum(type(thing) is Doc for thing in gc.get_objects())


def test_what_is_closed_is_freed() -> None:
    """pycrdt's core keeps a document that is still observed."""
    before = num_docs()
    for _ in range(3):
        document = shared("abc")
        editor = joined(document)
        editor.change(Insert(0, "x"))
        document.merge(editor.outbox.pop(), "y")
        document.submit(Insert(0, "x"), None, "x")
        with pytest.raises(BadParams):
            document.merge(b"\xff", "y")
    del document, editor
    # Fewer, where those of another test were still on their way out.
    assert num_docs() <= before


def test_updates_that_wait_for_others_do_not_pile_up() -> None:
    document = shared("abc")
    editor = joined(document)
    editor.change(Insert(0, "first"))
    editor.outbox.clear()
    for _ in range(3):
        editor.change(Insert(0, "x" * 390_000))
        editor.change(Delete(0, 390_000))
        for update in editor.outbox:
            assert document.merge(update, "y") == (None, b"")
        editor.outbox.clear()
    require_same(document, "abc")
