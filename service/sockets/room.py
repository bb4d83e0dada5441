"""Who is together on several websockets, and what all of them hear."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from aiohttp import WSMsgType

from service.sockets.connection import Connection
from service.sockets.outbox import make_frame

RoomKey = tuple[str, str]


class Room:
    """Members hear what is broadcast in one order. Nobody waits for the slowest: he is dropped."""

    def __init__(self) -> None:
        self.members: dict[str, Connection] = {}

    @property
    def is_needed(self) -> bool:
        """Whether it is to be kept: a room may outlive its members for what goes on in it."""
        return bool(self.members)

    def broadcast(
        self, body: bytes, *, but: Connection | None = None, slot: str | None = None, is_binary: bool = False
    ) -> None:
        """Send to all members, or all but one; encoded once for all."""
        frame = make_frame(body, WSMsgType.BINARY if is_binary else WSMsgType.TEXT)
        for member in tuple(self.members.values()):
            if member is not but:
                member.put(frame, slot)


R = TypeVar("R", bound=Room)


class Rooms(Generic[R]):
    """The open rooms by (caller's key, name): a room belongs to the key that opened it."""

    def __init__(self, make: Callable[[str, str], R]) -> None:
        self._make = make
        self._rooms: dict[RoomKey, R] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    @contextmanager
    def enter(self, caller: str, name: str, connection: Connection) -> Iterator[R]:
        """The room of that name, made for its first member, with one member more."""
        room = self._rooms.get((caller, name))
        if room is None:
            room = self._rooms[caller, name] = self._make(caller, name)
        room.members[connection.id] = connection
        try:
            yield room
        finally:
            del room.members[connection.id]
            self.tidy(caller, name)

    def tidy(self, caller: str, name: str) -> None:
        """Forget the room unless it is needed."""
        room = self._rooms.get((caller, name))
        if room and not room.is_needed:
            del self._rooms[caller, name]
