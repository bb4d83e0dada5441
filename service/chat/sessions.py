"""What was said in each chat session, so that the next message is answered in its context."""

import asyncio
import logging
import time
from collections.abc import Sequence
from weakref import WeakValueDictionary

from msgspec import Struct, msgpack

from config.settings import ChatSettings
from service.errors import ApiError
from service.stores.store import Clock, Entry, Store
from workers.messages import ChatMessage
from workers.trimming import trimmed

log = logging.getLogger(__name__)

KIND = "chat_session"

SessionKey = tuple[str, str]


class ChatSession(Struct):
    """One conversation, its messages oldest first, system prompts at the head. Times are seconds since the
    epoch.
    """

    id: str
    created_at: float
    updated_at: float
    messages: list[ChatMessage]


class Place:
    """A session as one answer was begun in it: who deletes the session meanwhile wants none of it."""

    def __init__(self, key: str, session_id: str) -> None:
        self.key = key
        self.session_id = session_id
        self.is_gone = False


class Sessions:
    """Conversations by (caller's key, session id): a session belongs to the key that began it.

    Calls about one session take effect in the order in which they were made. All but `settle` raise
    StoreUnavailable.
    """

    def __init__(self, settings: ChatSettings, store: Store, clock: Clock = time.time) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._locks: WeakValueDictionary[SessionKey, asyncio.Lock] = WeakValueDictionary()
        self._places: WeakValueDictionary[SessionKey, Place] = WeakValueDictionary()
        # The newest of those that remember soon.
        self._remembering: dict[SessionKey, asyncio.Task[None]] = {}

    async def get(self, key: str, session_id: str) -> ChatSession | None:
        """The session; None when it is new, expired or another key's."""
        await self._catch_up(key, session_id)
        async with self._lock(key, session_id):
            return await self._read(key, session_id)

    async def history(self, key: str, session_id: str) -> list[ChatMessage]:
        """The session's messages so far, oldest first; empty for a new one."""
        session = await self.get(key, session_id)
        return session.messages if session else []

    async def list(self, key: str, limit: int) -> Sequence[ChatSession]:
        """The key's newest sessions, newest first."""
        return [_decode(entry) for entry in await self._store.list(KIND, key, limit)]

    async def delete(self, key: str, session_id: str) -> bool:
        """Forget the session, now and on disk, and the answers on their way in it; whether there was one."""
        if place := self._places.pop((key, session_id), None):
            place.is_gone = True
        await self._catch_up(key, session_id)
        async with self._lock(key, session_id):
            is_known = await self._store.delete(KIND, key, session_id)
        if is_known:
            await self._store.flush()
        return is_known

    async def remember(self, key: str, session_id: str, *messages: ChatMessage) -> None:
        """Add messages. The oldest go when the session is full, the longest unused when the key has too many.

        A session begins with its first message. Raises BadParams when they are more than the store takes.
        """
        await self._catch_up(key, session_id)
        await self._add(key, session_id, messages)

    def place(self, key: str, session_id: str) -> Place:
        """Where an answer that begins now will be remembered."""
        return self._places.setdefault((key, session_id), Place(key, session_id))

    def remember_soon(self, place: Place, *messages: ChatMessage) -> None:
        """As `remember`, for who cannot wait. Whoever asks for the session later waits for it."""
        if place.is_gone:
            return
        key, session_id = place.key, place.session_id
        task = asyncio.get_running_loop().create_task(self._try_remember(key, session_id, messages))
        self._remembering[key, session_id] = task

        def forget(done: asyncio.Task[None]) -> None:
            if self._remembering.get((key, session_id)) is done:
                del self._remembering[key, session_id]

        task.add_done_callback(forget)

    async def settle(self) -> None:
        """Wait until everything is remembered."""
        while self._remembering:
            await asyncio.wait([*self._remembering.values()])

    async def _try_remember(self, key: str, session_id: str, messages: Sequence[ChatMessage]) -> None:
        try:
            await self._add(key, session_id, messages)
        except ApiError as error:
            log.warning("not remembered", extra={"session": session_id, "reason": error.message})

    async def _add(self, key: str, session_id: str, messages: Sequence[ChatMessage]) -> None:
        async with self._lock(key, session_id):
            now = self._clock()
            session = await self._read(key, session_id) or ChatSession(session_id, now, now, [])
            session.updated_at = now
            session.messages = trimmed(
                joined(session.messages, messages), self._settings.max_chars, num_chars
            )
            await self._store.put(
                KIND,
                key,
                session_id,
                msgpack.encode(session),
                ttl_s=self._settings.session_ttl_s,
                max_entries=self._settings.max_sessions,
            )

    async def _catch_up(self, key: str, session_id: str) -> None:
        """Wait for what was to be remembered soon: its tasks take the lock in order, the newest last."""
        if task := self._remembering.get((key, session_id)):
            await asyncio.wait([task])

    async def _read(self, key: str, session_id: str) -> ChatSession | None:
        entry = await self._store.get(KIND, key, session_id)
        return _decode(entry) if entry else None

    def _lock(self, key: str, session_id: str) -> asyncio.Lock:
        return self._locks.setdefault((key, session_id), asyncio.Lock())


def joined(history: Sequence[ChatMessage], messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The history with messages after it. A system message among them takes the place of those before."""
    system = [message for message in messages if message.role == "system"]
    if not system:
        return [*history, *messages]
    rest = [message for message in (*history, *messages) if message.role != "system"]
    return [*(message for message in system if message.content), *rest]


def num_chars(message: ChatMessage) -> int:
    """A message's size, for who cannot count tokens."""
    return len(message.content) + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)


def _decode(entry: Entry) -> ChatSession:
    return msgpack.decode(entry.value, type=ChatSession)
