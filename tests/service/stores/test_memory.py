"""What only the store in memory does."""

from pathlib import Path

from service.stores.memory import MIN_HEAP, MemoryStore
from tests.service.stores.conftest import StillClock, store_settings


async def test_reading_is_using(tmp_path: Path, clock: StillClock) -> None:
    store = MemoryStore(store_settings(tmp_path, max_bytes=4_000), clock)
    for id in "ab":
        await store.put("chat", "alice", id, bytes(1_000))
    await store.get("chat", "alice", "a")
    await store.put("chat", "alice", "c", bytes(1_000))
    assert [entry.id for entry in await store.list("chat", "alice")] == ["c", "a"]


async def test_puts_of_one_value_leave_nothing_behind(tmp_path: Path, clock: StillClock) -> None:
    store = MemoryStore(store_settings(tmp_path), clock)
    for _ in range(10 * MIN_HEAP):
        await store.put("chat", "alice", "a", b"x", ttl_s=10.0)
    assert len(store._expiries) <= MIN_HEAP + 1
    clock.now += 10
    assert await store.list("chat", "alice") == []
    assert store.figures() == (0, 0, 0)
    assert not store._ids
