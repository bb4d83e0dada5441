"""The documents that are open. A document belongs to the key that began it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from config.settings import DocumentSettings
from service.documents.kept import KIND, KeptDocument
from service.documents.room import DocumentRoom
from service.errors import Conflict, Unavailable
from service.stores.store import Address, Entry, Store

RETRY_AFTER_S = 5


class Documents:
    """A document is open while somebody is in it, and until it is saved."""

    def __init__(self, settings: DocumentSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._rooms: dict[Address, DocumentRoom] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[DocumentRoom]:
        return iter(self._rooms.values())

    @asynccontextmanager
    async def open(self, key: str, doc_id: str) -> AsyncIterator[DocumentRoom]:
        """The document's room, loaded for the first who comes; it stays open while the block lasts.

        Raises Unavailable when too many are open, or the store cannot be read.
        """
        room = self._enter(Address(KIND, key, doc_id))
        try:
            await room.kept.load()
            yield room
        finally:
            self._leave(room)

    async def list(self, key: str, limit: int) -> Sequence[Entry]:
        """The key's newest documents, newest first; those that are open as they are now."""
        for room in [room for room in self if room.kept.address.key == key]:
            await room.kept.settle()
        return await self._store.list(KIND, key, limit)

    async def delete(self, key: str, doc_id: str) -> bool:
        """Forget the document, now and on disk; whether there was one. Raises Conflict while it is open."""
        address = Address(KIND, key, doc_id)
        if address in self._rooms:
            message = f"document {doc_id!r} is open: it can be deleted when all have left it"
            raise Conflict(message, code="document_open", param="doc_id")
        is_known = await self._store.delete(*address)
        if is_known:
            await self._store.flush()
        return is_known

    async def settle(self) -> None:
        """Save all that has changed, as far as the store takes it."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*(room.kept.settle() for room in self))

    def _enter(self, address: Address) -> DocumentRoom:
        room = self._rooms.get(address)
        if room is None:
            if len(self) >= self._settings.max_open:
                message = f"{len(self)} documents are open >= {self._settings.max_open} (documents.max_open)"
                raise Unavailable(message, code="too_many_documents", retry_after_s=RETRY_AFTER_S)
            room = DocumentRoom(KeptDocument(self._settings, self._store, address))
            self._rooms[address] = room
        room.num_users += 1
        return room

    def _leave(self, room: DocumentRoom) -> None:
        room.num_users -= 1
        if not room.num_users:
            # A document that is only read lives on, too.
            room.kept.touch()
            task = asyncio.get_running_loop().create_task(self._close(room))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close(self, room: DocumentRoom) -> None:
        """Forget it once it is saved; while the store refuses, it stays open."""
        await room.kept.settle()
        while not (room.num_users or room.kept.is_saved):
            await asyncio.sleep(self._settings.save_interval_s)
            await room.kept.settle()
        if not room.num_users and self._rooms.get(room.kept.address) is room:
            del self._rooms[room.kept.address]
