"""What every store promises: owners apart, newest first, gone in time, bounded."""

import pytest

from service.errors import BadParams
from service.stores.store import ENTRY_BYTES, Store
from tests.service.stores.conftest import OpenStore, StillClock


async def ids(store: Store, key: str = "alice", limit: int = 1_000) -> list[str]:
    return [entry.id for entry in await store.list("chat", key, limit)]


async def value(store: Store, id: str, key: str = "alice", kind: str = "chat") -> bytes | None:
    entry = await store.get(kind, key, id)
    return entry and entry.value


@pytest.mark.parametrize("is_saved", [False, True])
async def test_values_are_their_owners(open_store: OpenStore, clock: StillClock, is_saved: bool) -> None:
    store = await open_store()
    await store.put("chat", "alice", "a/ü", b"first")
    clock.now += 1
    await store.put("chat", "alice", "a/ü", b"\0second")
    if is_saved:
        await store.flush()
    entry = await store.get("chat", "alice", "a/ü")
    assert entry == ("a/ü", b"\0second", 1_001.0, None)
    assert await value(store, "a/ü", key="bob") is await value(store, "a/ü", kind="document") is None
    assert (await ids(store), await ids(store, "bob")) == (["a/ü"], [])
    assert store.figures().num_entries == 1


@pytest.mark.parametrize("is_saved", [False, True])
async def test_what_is_deleted_is_gone(open_store: OpenStore, is_saved: bool) -> None:
    store = await open_store()
    await store.put("chat", "alice", "a", b"x")
    if is_saved:
        await store.flush()
    assert not await store.delete("chat", "bob", "a")
    assert await store.delete("chat", "alice", "a")
    assert await value(store, "a") is None
    assert not await store.delete("chat", "alice", "a")
    await store.flush()
    assert await ids(store) == []
    assert store.figures() == (0, 0, 0)


async def test_the_newest_stand_first(open_store: OpenStore, clock: StillClock) -> None:
    """Also among those put in the same instant."""
    store = await open_store()
    for id in "abc":
        await store.put("chat", "alice", id, b"x")
    assert await ids(store) == ["c", "b", "a"]
    clock.now += 1
    await store.put("chat", "alice", "a", b"y")
    assert await ids(store) == ["a", "c", "b"]
    assert await ids(store, limit=2) == ["a", "c"]


async def test_what_has_expired_is_gone(open_store: OpenStore, clock: StillClock) -> None:
    store = await open_store()
    for id, ttl_s in (("short", 10.0), ("long", 20.0), ("for ever", None)):
        await store.put("chat", "alice", id, b"x", ttl_s=ttl_s)
    await store.flush()
    clock.now += 9
    await store.put("chat", "alice", "unsaved", b"x", ttl_s=1.0)
    assert await value(store, "short") == await value(store, "unsaved") == b"x"
    clock.now += 1
    assert await value(store, "short") is await value(store, "unsaved") is None
    assert await ids(store) == ["for ever", "long"]
    await store.put("chat", "alice", "long", b"y", ttl_s=20.0)
    clock.now += 19
    assert await ids(store) == ["long", "for ever"]
    assert store.figures().num_entries == 2


async def test_a_key_keeps_its_newest(open_store: OpenStore, clock: StillClock) -> None:
    store = await open_store()
    await store.put("chat", "bob", "old", b"x")
    await store.put("document", "alice", "old", b"x")
    for id in "abcbd":
        clock.now += 1
        await store.put("chat", "alice", id, b"x", max_entries=2)
    assert await ids(store) == ["d", "b"]
    assert await value(store, "c") is None
    assert await ids(store, "bob") == ["old"]
    assert await value(store, "old", kind="document") == b"x"


async def test_the_longest_unused_go_when_it_is_full(open_store: OpenStore, clock: StillClock) -> None:
    size = 1_000 + ENTRY_BYTES + len("chatalice1")
    store = await open_store(max_bytes=4 * size)
    for number in range(6):
        clock.now += 1
        await store.put("chat", "alice", str(number), bytes(1_000))
    await store.flush()
    assert await ids(store) == ["5", "4", "3", "2"]
    assert store.figures() == (4, 4 * size, 0)


async def test_a_value_has_a_limit(open_store: OpenStore) -> None:
    store = await open_store(max_value_bytes=2_000)
    await store.put("chat", "alice", "a", bytes(2_000))
    with pytest.raises(BadParams, match=r"2001 bytes > 2000 \(store.max_value_bytes\)") as caught:
        await store.put("chat", "alice", "a", bytes(2_001))
    assert caught.value.status == 413
    assert await value(store, "a") == bytes(2_000)
