"""The SQLite file of a store: opened, read and written by one thread, one transaction for many changes."""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from service.stores.store import Address, Clock, Entry, StoreError

APPLICATION_ID = 0x534C5543  # "SLUC"
VERSION = 1
# What a predecessor that is still leaving may take to let go of the file.
BUSY_TIMEOUT_S = 5.0
# Read and written by the owner alone: it holds what people said.
MODE = 0o600

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE entries (
    kind TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, value BLOB NOT NULL,
    updated_at REAL NOT NULL, expires_at REAL, num_bytes INTEGER NOT NULL,
    UNIQUE (kind, key, id)
);
CREATE INDEX entries_of_key ON entries (kind, key, updated_at);
CREATE INDEX entries_by_age ON entries (updated_at);
CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
PRAGMA application_id = {application_id};
PRAGMA user_version = {version};
COMMIT;
"""
IS_AT = "kind = ? AND key = ? AND id = ?"
IS_OLDEST = "rowid = (SELECT rowid FROM entries ORDER BY updated_at, rowid LIMIT 1)"
IS_TOO_MANY = """rowid IN (
    SELECT rowid FROM entries WHERE kind = ? AND key = ?
    ORDER BY updated_at DESC, rowid DESC LIMIT -1 OFFSET ?
)"""


class Record(NamedTuple):
    """An entry to be written, what it counts for, and how many of its kind and key may stay."""

    entry: Entry
    num_bytes: int
    max_entries: int | None


Changes = Mapping[Address, Record | None]


class StoreFile:
    """Raises sqlite3.Error from all but `open`; the file then is as it was before the call."""

    def __init__(self, path: str, max_bytes: int, clock: Clock) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        self.num_entries = 0
        self.num_bytes = 0

    def open(self) -> None:
        """Open the file, made when there is none. Raises StoreError."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, MODE))
            self._db = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise StoreError(f"store.path {self._path}: {reason}") from None
        try:
            self._prepare()
        except (StoreError, sqlite3.Error) as error:
            self._db.close()
            raise StoreError(f"store.path {self._path}: {_explain(error)}") from None

    def close(self) -> None:
        self._db.close()

    def read(self, address: Address) -> Entry | None:
        query = f"SELECT id, value, updated_at, expires_at FROM entries WHERE {IS_AT}"
        row = self._db.execute(query, address).fetchone()
        return Entry(*row) if row else None

    def read_newest(self, kind: str, key: str, limit: int) -> Sequence[Entry]:
        query = """
            SELECT id, value, updated_at, expires_at FROM entries
            WHERE kind = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)
            ORDER BY updated_at DESC, rowid DESC LIMIT ?
        """
        return [Entry(*row) for row in self._db.execute(query, (kind, key, self._clock(), limit))]

    def write(self, changes: Changes) -> None:
        """Apply the changes, then the bounds: expired, too many of one key, too many bytes."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for address, record in changes.items():
                self._write_one(address, record)
            self._drop("expires_at <= ?", (self._clock(),))
            bounds = {address[:2]: record.max_entries for address, record in changes.items() if record}
            for owner, max_entries in bounds.items():
                if max_entries is not None:
                    self._drop(IS_TOO_MANY, (*owner, max_entries))
            while self.num_bytes > self._max_bytes:
                self._drop(IS_OLDEST)
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            self._count()
            raise

    def _write_one(self, address: Address, record: Record | None) -> None:
        self._drop(IS_AT, address)
        if record:
            entry = record.entry
            values = (*address, entry.value, entry.updated_at, entry.expires_at, record.num_bytes)
            self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            self.num_entries += 1
            self.num_bytes += record.num_bytes

    def _drop(self, where: str, values: Sequence[object] = ()) -> None:
        dropped = self._db.execute(
            f"DELETE FROM entries WHERE {where} RETURNING num_bytes", values
        ).fetchall()
        self.num_entries -= len(dropped)
        self.num_bytes -= sum(num_bytes for (num_bytes,) in dropped)

    def _count(self) -> None:
        count = "SELECT COUNT(*), COALESCE(SUM(num_bytes), 0) FROM entries"
        self.num_entries, self.num_bytes = self._db.execute(count).fetchone()

    def _prepare(self) -> None:
        # One service a file: the counts above are only true while nobody else writes.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_new = not self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if not is_new and self._pragma("application_id") != APPLICATION_ID:
            raise StoreError("another program's database")
        version = self._pragma("user_version")
        if not is_new and version != VERSION:
            raise StoreError(f"its schema is version {version}; this release reads {VERSION}")
        self._db.execute("PRAGMA journal_mode = WAL")
        # Survives a kill of the process; a loss of power may cost the last transactions, never the file.
        self._db.execute("PRAGMA synchronous = NORMAL")
        # What people deleted is overwritten.
        self._db.execute("PRAGMA secure_delete = ON")
        if is_new:
            self._db.executescript(SCHEMA.format(application_id=APPLICATION_ID, version=VERSION))
        faults = self._pragma("quick_check(1)")
        if faults != "ok":
            raise StoreError(f"the file is corrupt: {faults}")
        self._count()
        # Applies the bounds, which may be tighter now, and shows that the file can be written.
        self.write({})

    def _pragma(self, name: str) -> object:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]


def _explain(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return "in use by another process" if "locked" in reason else reason
