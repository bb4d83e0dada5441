"""A store in one SQLite file: it survives a restart. Needs no server and no other package."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

from config.settings import StoreSettings
from service.stores.sqlite_file import Record, StoreFile
from service.stores.store import Address, Clock, Entry, Figures, Store, StoreUnavailable, size_of

log = logging.getLogger(__name__)

# Calls that may wait for the thread; past it 503.
MAX_WAITING = 1_024
# Seconds after which an idle store looks for what has expired.
EXPIRE_INTERVAL_S = 60.0

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore(Store):
    """Puts and deletes are noted here and written together, a flush interval later, by a thread of its own.

    A value put a hundred times a second is written once an interval. The bounds on numbers of entries and on
    all bytes are kept whenever it writes; the longest unchanged go first.
    """

    def __init__(self, settings: StoreSettings, clock: Clock = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._file = StoreFile(settings.path, settings.max_bytes, clock)
        self._thread = ThreadPoolExecutor(1, "store")
        self._num_waiting = 0
        self._unsaved: dict[Address, Record | None] = {}
        self._num_unsaved_bytes = 0
        # What the thread is writing: it may yet fail.
        self._writing: dict[Address, Record | None] = {}
        self._is_failing = False
        self._saving = asyncio.Lock()
        self._has_unsaved = asyncio.Event()
        self._flushes: set[asyncio.Task[Exception | None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        try:
            await self._run(self._file.open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._task = asyncio.create_task(self._keep_saving())

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        # What is being written by a flush that nobody waits for any more is written first.
        if await self._save():
            log.error("not saved", extra={"entries": len(self._unsaved), "bytes": self._num_unsaved_bytes})
        await self._run(self._file.close)
        self._thread.shutdown()

    async def get(self, kind: str, key: str, id: str) -> Entry | None:
        address = Address(kind, key, id)
        for changes in (self._unsaved, self._writing):
            if address in changes:
                record = changes[address]
                entry = record.entry if record else None
                break
        else:
            entry = await self._run(self._file.read, address)
        return None if entry is None or entry.is_expired(self._clock()) else entry

    async def put(
        self,
        kind: str,
        key: str,
        id: str,
        value: bytes,
        *,
        ttl_s: float | None = None,
        max_entries: int | None = None,
    ) -> None:
        address, now = Address(kind, key, id), self._clock()
        num_bytes = size_of(address, value, self._settings.max_value_bytes)
        while self._unsaved and self._num_unsaved_bytes + num_bytes > self._settings.max_unsaved_bytes:
            await self.flush()
        entry = Entry(id, value, now, None if ttl_s is None else now + ttl_s)
        self._change(address, Record(entry, num_bytes, max_entries))

    async def delete(self, kind: str, key: str, id: str) -> bool:
        entry = await self.get(kind, key, id)
        if entry:
            self._change(Address(kind, key, id), None)
        return entry is not None

    async def list(self, kind: str, key: str, limit: int = 1_000) -> Sequence[Entry]:
        await self.flush()
        return await self._run(self._file.read_newest, kind, key, limit)

    async def flush(self) -> None:
        # In a task of its own: a caller who leaves must not make a batch forgotten that then fails.
        task = asyncio.create_task(self._save(is_needed=False))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)
        if error := await asyncio.shield(task):
            raise StoreUnavailable(error)

    def figures(self) -> Figures:
        num_bytes = self._num_unsaved_bytes + sum(map(_size, self._writing.values()))
        return Figures(self._file.num_entries, self._file.num_bytes, num_bytes)

    def _change(self, address: Address, record: Record | None) -> None:
        # Put again, it is the newest: its place in the file's order is that of this put.
        self._num_unsaved_bytes += _size(record) - _size(self._unsaved.pop(address, None))
        self._unsaved[address] = record
        self._has_unsaved.set()

    async def _keep_saving(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EXPIRE_INTERVAL_S):
                    await self._has_unsaved.wait()
            await asyncio.sleep(self._settings.flush_interval_s)
            await asyncio.shield(self._save())

    async def _save(self, *, is_needed: bool = True) -> Exception | None:
        """Write all changes in one transaction. Returns what went wrong; they are all still noted then."""
        async with self._saving:
            if not (is_needed or self._unsaved):
                return None
            self._writing, self._unsaved, self._num_unsaved_bytes = self._unsaved, {}, 0
            self._has_unsaved.clear()
            try:
                await self._run(self._file.write, self._writing)
            except StoreUnavailable as error:
                self._tell_failing(error)
                for address, record in [*self._writing.items(), *self._unsaved.items()]:
                    self._change(address, record)
                return error
            finally:
                self._writing = {}
            self._is_failing = False
        return None

    def _tell_failing(self, error: StoreUnavailable) -> None:
        """Once, not at every interval until the disk takes it again."""
        if not self._is_failing:
            log.error("store not written", extra={"path": self._settings.path, "reason": error.message})
        self._is_failing = True

    async def _run(self, function: Callable[P, T], *args: P.args, **_: P.kwargs) -> T:
        """Call it in the thread. Raises StoreUnavailable."""
        if self._num_waiting >= MAX_WAITING:
            raise StoreUnavailable(f"{self._num_waiting} calls are waiting for it")
        self._num_waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
        except sqlite3.Error as error:
            raise StoreUnavailable(error) from error
        finally:
            self._num_waiting -= 1


def _size(record: Record | None) -> int:
    return record.num_bytes if record else 0
