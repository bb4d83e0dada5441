"""Frames go out at the end of the turn, as the transport takes them, and nowhere once it has gone."""

import asyncio
from types import SimpleNamespace
from typing import Any

from aiohttp import WSMsgType

from service.sockets.counts import Counts
from service.sockets.outbox import make_frame
from service.sockets.sender import Sender, Wire
from tests.service.fakes import TIMEOUT_S


class FakeTransport:
    """aiohttp's protocol, writer and transport in one."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.writing_paused = False
        self.connected = True
        self._is_free = asyncio.Event()

    def is_closing(self) -> bool:
        return False

    def write(self, part: bytes) -> None:
        self.written.append(part)

    async def drain(self) -> None:
        """As aiohttp's: it returns at once when the connection is lost, and writing stays paused."""
        if self.connected and self.writing_paused:
            await self._is_free.wait()

    def lose(self) -> None:
        self.connected = False
        self._is_free.set()

    def free(self) -> None:
        self.writing_paused = False
        self._is_free.set()


def make_sender() -> tuple[Sender, FakeTransport]:
    transport: Any = FakeTransport()
    response: Any = SimpleNamespace(compress=0, closed=False)
    return Sender(Wire(response, transport, transport, transport), Counts(), 10), transport


def put(sender: Sender, *bodies: bytes) -> None:
    for body in bodies:
        sender.put(make_frame(body, WSMsgType.TEXT))


async def test_frames_of_one_turn_are_one_write() -> None:
    sender, transport = make_sender()
    put(sender, b"one", b"two")
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [b"\x81\x03one\x81\x03two"]


async def test_what_a_full_transport_does_not_take_waits_for_it() -> None:
    sender, transport = make_sender()
    transport.writing_paused = True
    put(sender, b"a long one")
    sender.flush()
    assert not sender.has_room
    transport.free()
    async with asyncio.timeout(TIMEOUT_S):
        await sender.room()
    assert transport.written == [b"\x81\x0aa long one"]


async def test_a_transport_that_is_lost_while_it_is_full_takes_nothing_more() -> None:
    """The loop goes on, and nobody waits for room any more."""
    for is_lost_before in (True, False):
        sender, transport = make_sender()
        transport.writing_paused = True
        if is_lost_before:
            transport.lose()
        put(sender, b"a long one")
        sender.flush()
        await asyncio.sleep(0)
        transport.lose()
        async with asyncio.timeout(TIMEOUT_S):
            await sender.room()
            await sender.finish(5)
        assert (transport.written, sender.num_bytes) == ([], 0)
