"""A store in this process's memory: a restart forgets it."""

import heapq
import time
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from itertools import islice

from config.settings import StoreSettings
from service.stores.store import Address, Clock, Entry, Figures, Store, size_of

# The heap of expiries holds every put's; it is made anew when that is this many times what is kept.
HEAP_FACTOR = 2
MIN_HEAP = 1_024


class MemoryStore(Store):
    """Least recently used first; reading is using."""

    def __init__(self, settings: StoreSettings, clock: Clock = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._entries: OrderedDict[Address, Entry] = OrderedDict()
        self._sizes: dict[Address, int] = {}
        # Ids of each kind and key, the longest unchanged first.
        self._ids: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self._expiries: list[tuple[float, Address]] = []
        self._num_bytes = 0

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def get(self, kind: str, key: str, id: str) -> Entry | None:
        self._expire()
        address = Address(kind, key, id)
        entry = self._entries.get(address)
        if entry:
            self._entries.move_to_end(address)
        return entry

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
        size = size_of(address, value, self._settings.max_value_bytes)
        self._drop(address)
        expires_at = None if ttl_s is None else now + ttl_s
        self._entries[address], self._sizes[address] = Entry(id, value, now, expires_at), size
        self._ids[kind, key][id] = None
        self._num_bytes += size
        if expires_at is not None:
            heapq.heappush(self._expiries, (expires_at, address))
        self._expire()
        while max_entries is not None and len(self._ids.get((kind, key), ())) > max_entries:
            self._drop(Address(kind, key, next(iter(self._ids[kind, key]))))
        while self._num_bytes > self._settings.max_bytes:
            self._drop(next(iter(self._entries)))

    async def delete(self, kind: str, key: str, id: str) -> bool:
        self._expire()
        return self._drop(Address(kind, key, id))

    async def list(self, kind: str, key: str, limit: int = 1_000) -> Sequence[Entry]:
        self._expire()
        ids = islice(reversed(self._ids.get((kind, key), {})), limit)
        return [self._entries[Address(kind, key, id)] for id in ids]

    def figures(self) -> Figures:
        return Figures(len(self._entries), self._num_bytes, 0)

    def _drop(self, address: Address) -> bool:
        if self._entries.pop(address, None) is None:
            return False
        self._num_bytes -= self._sizes.pop(address)
        ids = self._ids[address.kind, address.key]
        del ids[address.id]
        if not ids:
            del self._ids[address.kind, address.key]
        return True

    def _expire(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            address = heapq.heappop(self._expiries)[1]
            entry = self._entries.get(address)
            if entry and entry.is_expired(now):
                self._drop(address)
        if len(self._expiries) > max(MIN_HEAP, HEAP_FACTOR * len(self._entries)):
            self._expiries = [(e.expires_at, a) for a, e in self._entries.items() if e.expires_at is not None]
            heapq.heapify(self._expiries)
