"""Stores whose clock stands still until a test moves it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.command_line import load
from config.settings import StoreSettings
from service.stores.memory import MemoryStore
from service.stores.sqlite import SqliteStore
from service.stores.store import Store

KINDS = {"memory": MemoryStore, "sqlite": SqliteStore}
OpenStore = Callable[..., Awaitable[Store]]


class StillClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def store_settings(path: Path, **values: Any) -> StoreSettings:
    own = {"path": str(path), "flush_interval_s": 0.01}
    return msgspec.structs.replace(load([], {}).store, **(own | values))


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def open_sqlite(tmp_path: Path, clock: StillClock) -> AsyncIterator[OpenStore]:
    """Opens stores on one file, and closes what the test left open."""
    opened = []

    async def open_sqlite(**values: Any) -> Store:
        store = SqliteStore(store_settings(tmp_path / "store.db", **values), clock)
        await store.start()
        opened.append(store)
        return store

    yield open_sqlite
    for store in opened:
        await store.close()


@pytest.fixture(params=KINDS)
async def open_store(
    request: pytest.FixtureRequest, clock: StillClock, tmp_path: Path
) -> AsyncIterator[OpenStore]:
    """Opens a store of either kind, once."""
    opened: list[Store] = []

    async def open_store(**values: Any) -> Store:
        store: Store = KINDS[request.param](store_settings(tmp_path / "store.db", **values), clock)
        await store.start()
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        await store.close()
