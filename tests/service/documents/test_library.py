"""Documents in a store: they live while somebody is in them, and go on where they were."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from config.command_line import load
from service.documents.library import Documents
from service.documents.operations import Insert
from service.errors import Unavailable
from service.stores.memory import MemoryStore
from service.stores.sqlite import SqliteStore
from service.stores.store import Store, StoreUnavailable
from tests.service.fakes import TIMEOUT_S, until

SETTINGS = load([], {})


class CountingStore(MemoryStore):
    """Counts what is put, and refuses while it is told to."""

    def __init__(self) -> None:
        super().__init__(SETTINGS.store)
        self.num_puts = 0
        self.is_refusing = False

    async def put(self, kind: str, key: str, id: str, value: bytes, **bounds: Any) -> None:
        if self.is_refusing:
            raise StoreUnavailable("test")
        self.num_puts += 1
        await super().put(kind, key, id, value, **bounds)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def documents_in(store: Store, **changes: Any) -> Documents:
    return Documents(replace(SETTINGS.documents, **({"save_interval_s": 0.01} | changes)), store)


async def closed(documents: Documents) -> None:
    await until(lambda: not len(documents))


async def write(documents: Documents, text: str, key: str = "k", doc_id: str = "d") -> None:
    async with documents.open(key, doc_id) as room:
        room.announce(room.document.submit(Insert(len(room.document.content), text), None, "x"))


async def read(documents: Documents, key: str = "k", doc_id: str = "d") -> tuple[str, int]:
    async with documents.open(key, doc_id) as room:
        return room.document.content, room.document.version


async def test_a_document_outlives_its_users(store: CountingStore) -> None:
    documents = documents_in(store)
    await write(documents, "one ")
    await closed(documents)
    await write(documents, "two")
    await closed(documents)
    assert await read(documents) == ("one two", 2)
    assert await read(documents, key="other") == ("", 0)
    assert await read(documents_in(store)) == ("one two", 2)
    for each in (documents,):
        await closed(each)
    # What nobody wrote in is not kept.
    assert await store.list("document", "other") == []


async def test_all_who_come_share_one_document(store: CountingStore) -> None:
    documents = documents_in(store)
    async with documents.open("k", "d") as first, documents.open("k", "d") as second:
        assert first is second
        assert len(documents) == 1
    await closed(documents)


async def test_many_changes_are_saved_together(store: CountingStore) -> None:
    documents = documents_in(store, save_interval_s=0.2)
    async with documents.open("k", "d") as room:
        for _ in range(100):
            room.announce(room.document.submit(Insert(0, "x"), None, "x"))
            await asyncio.sleep(0)
    await closed(documents)
    assert store.num_puts <= 2
    assert await read(documents) == ("x" * 100, 100)
    await closed(documents)


async def test_a_document_stays_open_while_the_store_refuses(store: CountingStore) -> None:
    documents = documents_in(store)
    store.is_refusing = True
    await write(documents, "abc")
    await asyncio.wait_for(documents.settle(), TIMEOUT_S)
    await write(documents, "d")
    assert await read(documents) == ("abcd", 2)
    store.is_refusing = False
    await closed(documents)
    assert await read(documents) == ("abcd", 2)
    await closed(documents)


async def test_an_editor_comes_in_only_once_that_is_saved(store: CountingStore) -> None:
    documents = documents_in(store)
    async with documents.open("k", "d") as room:
        store.is_refusing = True
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await room.kept.ready_for_yjs(None)
        store.is_refusing = False
        await room.kept.ready_for_yjs(None)
        num_puts = store.num_puts
        await room.kept.ready_for_yjs(None)
        assert store.num_puts == num_puts
        assert room.document.yjs
        state = room.document.yjs.state()
    await closed(documents)
    async with documents_in(store).open("k", "d") as room:
        assert room.document.yjs and room.document.yjs.state() == state


async def test_only_so_many_are_open(store: CountingStore) -> None:
    documents = documents_in(store, max_open=1)
    async with documents.open("k", "d"):
        with pytest.raises(Unavailable, match=r"1 documents are open >= 1 \(documents.max_open\)"):
            async with documents.open("k", "other"):
                pass
        async with documents.open("k", "d"):
            pass
    await closed(documents)


async def test_of_a_key_only_the_newest_are_kept(store: CountingStore) -> None:
    documents = documents_in(store, max_documents=2)
    for doc_id in ("1", "2", "3"):
        await write(documents, doc_id, doc_id=doc_id)
        await closed(documents)
    assert [entry.id for entry in await store.list("document", "k")] == ["3", "2"]


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path / "store.db"


async def test_a_document_survives_in_a_file_with_its_yjs_state(file: Path) -> None:
    known = b""
    for number in range(3):
        store = SqliteStore(replace(SETTINGS.store, path=str(file)))
        await store.start()
        documents = documents_in(store)
        async with documents.open("k", "d") as room:
            if number == 1:
                await room.kept.ready_for_yjs(None)
            room.announce(room.document.submit(Insert(0, str(number)), None, "x"))
            if room.document.yjs:
                assert str(room.document.yjs) == room.document.content
                known = known or room.document.yjs.state()
            if number == 2:
                # All that a client knew before the restart is known.
                assert room.document.merge(known, "y") == (None, b"")
        assert room.document.content == "210"[2 - number :]
        await documents.settle()
        await store.close()


async def test_leaving_while_it_is_saved_and_coming_back_keeps_one_document(store: CountingStore) -> None:
    documents = documents_in(store)

    async def visit(number: int) -> None:
        for _ in range(20):
            await write(documents, str(number))
            await asyncio.sleep(0)

    await asyncio.gather(*(visit(number) for number in range(5)))
    await closed(documents)
    content, version = await read(documents)
    assert version == len(content) == 100
    await closed(documents)
