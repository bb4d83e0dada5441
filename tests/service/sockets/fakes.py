"""A connection that keeps what it is sent, and has room when the test says so."""

import asyncio
from typing import Any, cast

from service.sockets.connection import Connection


class FakeConnection:
    def __init__(self) -> None:
        self.closed_with: list[int] = []
        self.num_working = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def has_room(self) -> bool:
        return self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()

    def fill(self) -> None:
        self._room.clear()

    def drain(self) -> None:
        self._room.set()

    def begin_work(self) -> None:
        self.num_working += 1

    def end_work(self) -> None:
        self.num_working -= 1

    def close(self, code: int, _reason: str) -> None:
        self.closed_with.append(code)

    def as_connection(self) -> Connection:
        fake: Any = self
        return cast(Connection, fake)
