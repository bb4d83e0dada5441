"""What pycrdt tells of a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pycrdt import Doc, Text, TextEvent, TransactionEvent

from service.documents.yjs_deltas import Delta, plain_delta


class Told(NamedTuple):
    """The updates that say what has changed, and how the text has."""

    updates: list[bytes]
    deltas: list[Delta]


@contextmanager
def listening(doc: Doc[Text], text: Text) -> Iterator[Told]:
    """Notes what the transactions within the block have changed.

    pycrdt's core holds on to what it calls, and that to the document: one that is observed to its end
    is never freed (104 KB for a text of 100 KB).
    """
    told = Told([], [])

    def note_update(event: TransactionEvent) -> None:
        told.updates.append(event.update)

    def note_delta(event: TextEvent) -> None:
        told.deltas.append(plain_delta(event.delta))  # type: ignore[attr-defined]

    of_doc, of_text = doc.observe(note_update), text.observe(note_delta)
    try:
        yield told
    finally:
        text.unobserve(of_text)
        doc.unobserve(of_doc)
