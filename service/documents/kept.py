"""A document in its store: loaded once, saved soon after each change."""

import asyncio
import logging
from contextlib import suppress

from config.settings import DocumentSettings
from service.documents.shared import SharedDocument
from service.errors import ApiError
from service.stores.store import Address, Store

log = logging.getLogger(__name__)

KIND = "document"


class KeptDocument:
    """What a kill of the process may lose are the changes of one interval, and of one of the store's."""

    def __init__(self, settings: DocumentSettings, store: Store, address: Address) -> None:
        self.address = address
        self._settings = settings
        self._store = store
        self._document: SharedDocument | None = None
        self._loading = asyncio.Lock()
        self._is_changed = False
        self._is_yjs_saved = False
        self._is_failing = False
        self._hurry = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None

    @property
    def document(self) -> SharedDocument:
        """Only once it is loaded."""
        assert self._document
        return self._document

    @property
    def is_saved(self) -> bool:
        return not self._is_changed

    async def load(self) -> None:
        """Return once it is there; a new one when the store has none. Raises StoreUnavailable."""
        async with self._loading:
            if self._document is None:
                entry = await self._store.get(*self.address)
                self._document = SharedDocument(self._settings, entry.value if entry else None)
                self._is_yjs_saved = self._document.yjs is not None

    async def ready_for_yjs(self, text_name: str | None) -> None:
        """Return once Yjs clients may come: what they are told of must not be forgotten.

        A kill that loses what made of the text a Yjs document would have a client that comes back add
        its whole text to one made anew. Raises ApiError; Conflict when the text goes by another name.
        """
        async with self._loading:
            self.document.open_yjs(text_name)
            if not self._is_yjs_saved:
                await self.save()
                self._is_yjs_saved = True

    def touch(self) -> None:
        """It has changed, or was used: it is saved soon."""
        if self._document and not self._document.is_empty:
            self._is_changed = True
            self._start_saving()

    async def save(self) -> None:
        """Return once all changes are saved, as after a flush of the store. Raises ApiError."""
        await self._put()
        await self._store.flush()

    async def settle(self) -> None:
        """Save what has changed at once, and return when the store has it or has refused it."""
        self._hurry.set()
        if self._is_changed:
            await asyncio.wait([self._start_saving()])
        self._hurry.clear()

    def _start_saving(self) -> asyncio.Task[None]:
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._keep_saving())
        return self._saving

    async def _keep_saving(self) -> None:
        while self._is_changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.save_interval_s):
                    await self._hurry.wait()
            try:
                await self._put()
            except ApiError as error:
                self._tell_failing(error)
                if self._hurry.is_set():
                    return

    async def _put(self) -> None:
        self._is_changed = False
        try:
            await self._store.put(
                *self.address,
                self.document.encode(),
                ttl_s=self._settings.ttl_s,
                max_entries=self._settings.max_documents,
            )
        except BaseException:
            self._is_changed = True
            raise
        self._is_failing = False

    def _tell_failing(self, error: ApiError) -> None:
        """Once, not at every interval until the store takes it again."""
        if not self._is_failing:
            log.error("document not saved", extra={"document": self.address.id, "reason": error.message})
        self._is_failing = True
