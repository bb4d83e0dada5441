"""Where what outlives a socket is kept: small values under (kind, key, id), each with a time to live.

A key is its owner: nothing of one key's is ever found under another's. Values are bytes; what they mean is
their writer's affair.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.errors import BadParams, Unavailable

# What an entry costs beside its value and its names: its rows in the table and the indexes.
ENTRY_BYTES = 512

# Seconds since the epoch: times must mean the same after a restart.
Clock = Callable[[], float]


class StoreError(Exception):
    """A store that cannot be opened; the message is one line that names the setting and the reason."""


class StoreUnavailable(Unavailable):
    """A store that cannot be read or written now. What was put before and not yet saved is still kept."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"the store cannot be used now: {reason}", code="store_unavailable", retry_after_s=5)


class Address(NamedTuple):
    """Where a value is: `kind` says what it is, `key` whose, `id` which."""

    kind: str
    key: str
    id: str


class Entry(NamedTuple):
    """A value and when it was put and goes, in seconds since the epoch; None: it stays."""

    id: str
    value: bytes
    updated_at: float
    expires_at: float | None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Figures(NamedTuple):
    """`num_unsaved_bytes` would be lost if the process were killed now."""

    num_entries: int
    num_bytes: int
    num_unsaved_bytes: int


class Store(ABC):
    """Start it before use and close it after. All methods are called from one event loop.

    Bounds: one value's bytes (past it BadParams, 413), all entries' bytes (the longest unused go), and
    what `put` says about its owner.
    """

    @abstractmethod
    async def start(self) -> None:
        """Raises StoreError; nothing is left open then."""

    @abstractmethod
    async def close(self) -> None:
        """Save what is not yet saved. Nothing can be put after."""

    @abstractmethod
    async def get(self, kind: str, key: str, id: str) -> Entry | None:
        """The newest value that was put and neither deleted, expired nor pushed out."""

    @abstractmethod
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
        """Keep the value in place of an older one. It can be read at once, and is saved soon (see `flush`).

        It goes after `ttl_s` seconds, unless it is put again. Of this kind and key only the newest
        `max_entries` stay. Raises BadParams, and StoreUnavailable when too much waits to be saved.
        """

    @abstractmethod
    async def delete(self, kind: str, key: str, id: str) -> bool:
        """Forget the value; whether there was one."""

    @abstractmethod
    async def list(self, kind: str, key: str, limit: int = 1_000) -> Sequence[Entry]:
        """The key's newest `limit` entries of that kind, newest first."""

    @abstractmethod
    async def flush(self) -> None:
        """Return once all that was put or deleted is saved. Raises StoreUnavailable."""

    @abstractmethod
    def figures(self) -> Figures:
        """How full it is; for gauges."""


def size_of(address: Address, value: bytes, max_bytes: int) -> int:
    """What the entry counts for, in bytes. Raises BadParams (413) for a value of more than `max_bytes`."""
    if len(value) > max_bytes:
        raise BadParams(
            f"{address.kind}: {len(value)} bytes > {max_bytes} (store.max_value_bytes)",
            status=413,
            code="too_large",
        )
    return len(value) + sum(len(name.encode()) for name in address) + ENTRY_BYTES
