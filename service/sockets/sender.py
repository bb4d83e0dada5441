"""Writes one websocket's frames: those of one turn of the loop together, at its end."""

import asyncio
from typing import NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from service.sockets.counts import Counts
from service.sockets.outbox import Frame, Outbox

# Bytes of one write: the transport's own high-water mark.
WRITE_BYTES = 65_536


class Wire(NamedTuple):
    """aiohttp's parts of one upgraded request."""

    response: web.WebSocketResponse
    writer: AbstractStreamWriter
    protocol: web.RequestHandler
    transport: asyncio.Transport


class Sender:
    """Takes frames without waiting, and writes them as the transport takes them.

    No task is woken for a frame: one runs only while the transport is full, or while frames are compressed,
    which aiohttp does. It must not be cancelled: who is cancelled while he waits for aiohttp's transport to
    drain takes with him all who wait for it later.
    """

    def __init__(self, wire: Wire, counts: Counts, low_bytes: int) -> None:
        self._wire = wire
        self._counts = counts
        self._low_bytes = low_bytes
        self._outbox = Outbox()
        self._loop = asyncio.get_running_loop()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_due = False
        self._task: asyncio.Task[None] | None = None
        self._sent_at = self._loop.time()

    @property
    def num_bytes(self) -> int:
        return self._outbox.num_bytes

    def stuck_s(self, now: float) -> float:
        """Seconds for which nothing has been taken of what waits; 0 when nothing waits."""
        return now - self._sent_at if self._outbox or self._task else 0.0

    def put(self, frame: Frame, slot: str | None = None) -> None:
        """Put a frame behind those that wait; in a `slot` it takes the place of one that waits there."""
        if not (self._outbox or self._task):
            self._sent_at = self._loop.time()
        self._counts.num_superseded += self._outbox.put(frame, slot)
        if self._outbox.num_bytes > self._low_bytes:
            self._has_room.clear()
        if not (self._is_due or self._task):
            self._is_due = True
            self._loop.call_soon(self.flush)

    @property
    def has_room(self) -> bool:
        return self._has_room.is_set()

    async def room(self) -> None:
        """Return when little waits, or nothing will be sent any more."""
        await self._has_room.wait()

    def flush(self) -> None:
        """Write what the transport takes now; a task sees to the rest."""
        self._is_due = False
        if self._task:
            return
        if not self._wire.response.compress:
            self._write()
        if self._outbox:
            self._task = self._loop.create_task(self._send_rest())

    async def finish(self, timeout_s: float) -> None:
        """Return when all has been written, or after the timeout; what is left then is lost."""
        self.flush()
        if self._task and (self._outbox or self._wire.response.compress):
            await asyncio.wait([self._task], timeout=timeout_s)
        self.discard()

    def discard(self) -> None:
        self._outbox.clear()
        self._has_room.set()

    def _write(self) -> None:
        wire = self._wire
        while self._outbox and not wire.protocol.writing_paused:
            if wire.response.closed or wire.transport.is_closing():
                # Nothing may follow a close frame.
                self.discard()
                return
            frames = self._outbox.take_some(WRITE_BYTES)
            wire.transport.write(b"".join([part for frame in frames for part in (frame.head, frame.body)]))
            self._note_sent(len(frames))

    async def _send_rest(self) -> None:
        wire = self._wire
        try:
            while self._outbox:
                if not wire.protocol.connected:
                    # Writing stays paused for good then, and `drain` waits no more.
                    self.discard()
                elif wire.response.compress:
                    frame = self._outbox.take()
                    await wire.response.send_frame(frame.body, frame.type)
                    self._note_sent(1)
                else:
                    await wire.writer.drain()
                    self._write()
        except ConnectionError:
            self.discard()
        finally:
            self._task = None

    def _note_sent(self, num_frames: int) -> None:
        self._sent_at = self._loop.time()
        self._counts.num_sent += num_frames
        if self._outbox.num_bytes <= self._low_bytes:
            self._has_room.set()
