"""Station "wire": frames -> socket, keep-alive, disconnect.

Frames are written straight to the transport as events arrive, without waking the handler's task:
a task switch and aiohttp's own write path cost more than everything before them together
(docs/performance.md). The task sleeps until the end, a keep-alive is due, or the socket is full.
"""

import asyncio
from contextlib import suppress

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11

from service.errors import from_failure
from service.framing import Framing, encode_events
from service.keys import SETTINGS, TURN
from service.reader import Reader
from service.streams import Stream
from workers.messages import Failed

# The transport's own high-water mark: past it, `drain` waits.
FULL_BYTES = 1 << 16


async def send_stream(
    request: web.Request, stream: Stream, framing: Framing, after: int = 0
) -> web.StreamResponse:
    """Answer with the stream's events after seq `after`, until its end.

    Raises ApiError when the job fails before it is accepted: then no byte has been sent. Whatever
    ends this call, also the client's leaving, detaches the reader.
    """
    reader = stream.attach(after)
    try:
        await reader.wait_accepted()
        if isinstance(stream.terminal, Failed) and not stream.is_accepted:
            raise from_failure(stream.terminal)
        writer = SocketWriter(request, reader, framing)
        return await writer.run()
    finally:
        stream.detach(reader)


class SocketWriter:
    """Writes one reader's events to one HTTP response."""

    def __init__(self, request: web.Request, reader: Reader, framing: Framing) -> None:
        self._request = request
        self._reader = reader
        self._framing = framing
        self._http = request.app[SETTINGS].http
        self._turn = request.app[TURN]
        self._is_chunked = request.version >= HttpVersion11
        self._transport: asyncio.WriteTransport | None = None
        self._attention = asyncio.Event()
        self._parts: list[bytes] = []
        self._is_full = False
        self._loop = asyncio.get_running_loop()
        self._written_at = self._loop.time()
        self._is_stuck = False

    async def run(self) -> web.StreamResponse:
        """Send everything up to the stream's end."""
        response = self._response()
        writer = await response.prepare(self._request)
        self._transport = self._request.transport
        if writer is None or self._transport is None:
            return response
        self._reader.on_wake = self._pump
        self._pump_now()
        try:
            await self._follow(writer)
        finally:
            self._reader.on_wake = None
        if self._is_stuck:
            self._transport.abort()
        else:
            self._say_dropped()
            await response.write_eof()
        return response

    async def _follow(self, writer: AbstractStreamWriter) -> None:
        while not self._reader.is_at_end or self._is_full:
            if self._is_full:
                await self._drain(writer)
                self._pump_now()
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Sleep until the pump needs the task; say that the stream lives when nothing else does."""
        self._attention.clear()
        due = self._written_at + self._http.keepalive_interval_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await self._attention.wait()
        now = self._loop.time()
        if now - self._written_at >= self._http.keepalive_interval_s:
            self._written_at = now
            if not self._reader.is_at_end:
                self._write(self._framing.keepalive)
                self._flush()

    async def _drain(self, writer: AbstractStreamWriter) -> None:
        try:
            async with asyncio.timeout(self._http.write_timeout_s):
                await writer.drain()
        except TimeoutError:
            self._is_stuck = True
            self._reader.drop()
        self._is_full = False

    def _say_dropped(self) -> None:
        """A reader that others have outrun gets his own ending; the stream goes on without him."""
        if self._reader.is_dropped:
            stream = self._reader.stream
            events = [(None, stream.ending("slow_client"))]
            self._write(encode_events(events, stream.dialect, self._framing))
            self._flush()

    def _pump(self) -> None:
        """Render what the reader has not read. Called in every turn with new events: must not wait."""
        if not self._is_full:
            events = self._reader.take()
            if events:
                self._write(encode_events(events, self._reader.stream.dialect, self._framing))
                self._turn.write_later(self._flush)
        if self._is_full or self._reader.is_at_end:
            self._attention.set()

    def _pump_now(self) -> None:
        """As a turn does, for this reader alone."""
        self._pump()
        self._flush()
        self._reader.stream.check_pressure()

    def _write(self, body: bytes) -> None:
        if body:
            self._written_at = self._loop.time()
            self._parts.append(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)

    def _flush(self) -> None:
        """Hand the rendered parts to the transport."""
        transport, parts = self._transport, self._parts
        if not parts or transport is None or transport.is_closing():
            return
        self._parts = []
        transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        if transport.get_write_buffer_size() > FULL_BYTES:
            self._is_full = True
            self._attention.set()

    def _response(self) -> web.StreamResponse:
        headers = {
            "Content-Type": self._framing.media_type,
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
            "X-Stream-Id": self._reader.stream.id,
        }
        response = web.StreamResponse(headers=headers)
        if self._is_chunked:
            response.enable_chunked_encoding()
        else:
            response.force_close()
        return response
