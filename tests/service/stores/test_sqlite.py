"""What only the store in a file does: it survives, gathers its writes, says what is wrong with it."""

import asyncio
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.stores.sqlite import SqliteStore
from service.stores.store import StoreError, StoreUnavailable
from tests.service.stores.conftest import OpenStore, StillClock, store_settings


async def test_a_restart_keeps_all_but_the_expired(
    open_sqlite: OpenStore, clock: StillClock, tmp_path: Path
) -> None:
    first = await open_sqlite()
    await first.put("chat", "alice", "a", b"kept")
    await first.put("chat", "alice", "b", b"x", ttl_s=10.0)
    await first.put("chat", "alice", "c", b"x")
    await first.delete("chat", "alice", "c")
    await first.close()
    clock.now += 10
    second = await open_sqlite()
    assert [entry.value for entry in await second.list("chat", "alice")] == [b"kept"]
    assert second.figures().num_entries == 1
    assert (tmp_path / "store.db").stat().st_mode & 0o777 == 0o600


async def test_changes_are_gathered(open_sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put a hundred times in an interval is written once."""
    store = await open_sqlite(flush_interval_s=0.05)
    assert isinstance(store, SqliteStore)
    batches, is_written, write = [], asyncio.Event(), store._file.write
    loop = asyncio.get_running_loop()

    def count(changes: dict[object, object]) -> None:
        batches.append(dict(changes))
        write(changes)
        loop.call_soon_threadsafe(is_written.set)

    monkeypatch.setattr(store._file, "write", count)
    for number in range(100):
        await store.put("document", "alice", "d", str(number).encode())
    assert store.figures().num_unsaved_bytes < 1_000
    await asyncio.wait_for(is_written.wait(), 20)
    assert len(batches) == len(batches[0]) == 1
    entry = await store.get("document", "alice", "d")
    assert entry and entry.value == b"99"


async def test_a_disk_that_refuses(
    open_sqlite: OpenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost, what is newer stays the newer, who writes too much is told, and operators once."""
    store = await open_sqlite(max_unsaved_bytes=3_000, flush_interval_s=3_600)
    assert isinstance(store, SqliteStore)

    def refuse(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store._file, "write", refuse)
        await store.put("chat", "alice", "a", b"old")
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await store.flush()
        await store.put("chat", "alice", "a", b"new")
        await store.put("chat", "alice", "b", bytes(1_000))
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await store.put("chat", "alice", "c", bytes(1_000))
        entry = await store.get("chat", "alice", "a")
        assert entry and entry.value == b"new"
    assert [record.message for record in caplog.records] == ["store not written"]
    await store.put("chat", "alice", "c", bytes(1_000))
    await store.flush()
    assert [entry.id for entry in await store.list("chat", "alice")] == ["c", "b", "a"]
    assert store.figures().num_unsaved_bytes == 0


async def test_a_failed_transaction_changes_nothing(open_sqlite: OpenStore) -> None:
    store = await open_sqlite(flush_interval_s=3_600)
    assert isinstance(store, SqliteStore)
    await store.put("chat", "alice", "a", b"x")
    await store.flush()
    before = store.figures()
    await store.put("chat", "alice", "a", b"y")
    store._file._max_bytes, refused = -1, store._file._max_bytes
    drop = store._file._drop

    def fail(where: str, values: tuple[object, ...] = ()) -> None:
        if "LIMIT 1)" in where:
            raise sqlite3.OperationalError("disk I/O error")
        drop(where, values)

    store._file._drop = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="disk I/O error"):
        await store.flush()
    assert store.figures()[:2] == before[:2]
    store._file._drop, store._file._max_bytes = drop, refused  # type: ignore[method-assign]
    await store.flush()
    assert [entry.value for entry in await store.list("chat", "alice")] == [b"y"]


async def test_a_caller_who_leaves_loses_nothing(open_sqlite: OpenStore) -> None:
    store = await open_sqlite(flush_interval_s=3_600)
    await store.put("chat", "alice", "a", b"x")
    task = asyncio.create_task(store.flush())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await store.list("chat", "alice")) == 1


def write_text(path: Path) -> None:
    path.write_text("no database " * 1_000)


def write_newer(path: Path) -> None:
    database = sqlite3.connect(path)
    database.executescript(
        "PRAGMA application_id = 1397511491; PRAGMA user_version = 7; CREATE TABLE entries (x)"
    )
    database.close()


def write_other(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE cats (name)")
    database.close()


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (write_text, "file is not a database"),
        (write_newer, "its schema is version 7; this release reads 1"),
        (write_other, "another program's database"),
        (Path.mkdir, "Is a directory"),
    ],
)
async def test_a_file_that_will_not_do(
    prepare: Callable[[Path], None], reason: str, tmp_path: Path, clock: StillClock
) -> None:
    path = tmp_path / "store.db"
    prepare(path)
    with pytest.raises(StoreError, match=re.escape(f"store.path {path}: {reason}")) as caught:
        await SqliteStore(store_settings(path), clock).start()
    assert "\n" not in str(caught.value)


async def test_a_corrupt_file(open_sqlite: OpenStore, tmp_path: Path, clock: StillClock) -> None:
    first = await open_sqlite()
    for number in range(100):
        await first.put("chat", "alice", str(number), bytes(500))
    await first.close()
    path = tmp_path / "store.db"
    content = bytearray(path.read_bytes())
    content[8_192:] = os.urandom(len(content) - 8_192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"store\.path") as caught:
        await SqliteStore(store_settings(path), clock).start()
    assert "\n" not in str(caught.value)


async def test_a_folder_that_is_not_there(tmp_path: Path, clock: StillClock) -> None:
    with pytest.raises(StoreError, match="No such file"):
        await SqliteStore(store_settings(tmp_path / "none" / "store.db"), clock).start()


async def test_one_service_a_file(
    open_sqlite: OpenStore, tmp_path: Path, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_sqlite()
    monkeypatch.setattr("service.stores.sqlite_file.BUSY_TIMEOUT_S", 0.01)
    with pytest.raises(StoreError, match="in use by another process"):
        await SqliteStore(store_settings(tmp_path / "store.db"), clock).start()
