"""One open websocket: messages in one by one, messages out without waiting.

out: superseded messages go -> who can wait waits for room -> who takes nothing is dropped as `slow_client`
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from config.settings import SocketSettings
from service.dialects.dialect import encode
from service.errors import TooMany, error_object
from service.sockets.counts import Counts
from service.sockets.outbox import Frame, Outbox
from service.sockets.throttle import Throttle

log = logging.getLogger(__name__)

# How long a peer may take to hear that the socket closes: the service's leaving waits for it.
CLOSE_TIMEOUT_S = 2.0
# Bytes of a close frame's reason (RFC 6455, section 5.5).
MAX_REASON_BYTES = 123


class Seat(NamedTuple):
    """What a connection shares: with its key's others the pace, with its route's the counts."""

    throttle: Throttle
    counts: Counts


class Connection:
    """Made by `Sockets`, once upgraded. All but `receive`, `room` and `finish` return at once."""

    def __init__(
        self,
        response: web.WebSocketResponse,
        transport: asyncio.Transport,
        seat: Seat,
        settings: SocketSettings,
    ) -> None:
        self.id = f"ws_{secrets.token_urlsafe(9)}"
        self.response = response
        self._transport = transport
        self._throttle, self._counts = seat
        self._settings = settings
        self._outbox = Outbox()
        self._has_frames = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._pinged_at = self._sent_at = self._loop.time()
        # Not while a message is being handled: silence is then this side's.
        self._is_listening = False
        self._is_sending = False
        self._is_throttled = False
        self._num_working = 0
        self._leaves_when_idle = False
        # Whether what waits is sent before it closes.
        self._is_patient = True
        self._closing: asyncio.Task[None] | None = None
        self._sender = self._loop.create_task(self._send_frames())

    # In

    async def receive(self) -> str | bytes | None:
        """The next message, text or binary; None when the socket has closed.

        A key that sends more than its messages a second waits here, and so does a socket that does
        not take what it is sent.
        """
        while True:
            await self.room()
            self._is_listening = True
            message = await self.response.receive()
            self._is_listening = False
            self._heard_at = self._loop.time()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                return None
            self._counts.num_received += 1
            await self._wait_turn()
            if message.type is WSMsgType.PING:
                # Only the last of several needs its answer (RFC 6455, section 5.5.3).
                self._put(Frame(bytes(message.data), WSMsgType.PONG), "pong")
            elif message.type is not WSMsgType.PONG:
                data: str | bytes = message.data
                return data

    async def _wait_turn(self) -> None:
        delay_s = self._throttle.take(self._heard_at)
        if not delay_s:
            self._is_throttled = False
            return
        if not self._is_throttled:
            self._is_throttled = True
            self._counts.num_throttled += 1
            limit = self._settings.max_messages_per_s
            message = f"more than {limit} messages a second (sockets.max_messages_per_s): taken more slowly"
            error = TooMany(message, code="too_many_messages")
            self.send(encode({"type": "error", "error": error_object(error)}), slot="too_many_messages")
        await asyncio.sleep(delay_s)

    # Out

    @property
    def num_unsent_bytes(self) -> int:
        return self._outbox.num_bytes

    def send(self, body: bytes, *, slot: str | None = None, is_binary: bool = False) -> None:
        """Put a message behind those that wait; in a `slot` it takes the place of an unsent one.

        Who has not taken `max_unsent_bytes` is dropped.
        """
        self._put(Frame(body, WSMsgType.BINARY if is_binary else WSMsgType.TEXT), slot)

    def _put(self, frame: Frame, slot: str | None = None) -> None:
        if self._closing:
            return
        if self._outbox.num_bytes > self._settings.max_unsent_bytes:
            self.drop("slow_client", WSCloseCode.TRY_AGAIN_LATER)
            return
        if not (self._outbox or self._is_sending):
            self._sent_at = self._loop.time()
        num_before = len(self._outbox)
        self._outbox.put(frame, slot)
        self._counts.num_superseded += len(self._outbox) == num_before
        self._has_frames.set()
        if self._outbox.num_bytes > self._settings.low_unsent_bytes:
            self._has_room.clear()

    async def room(self) -> None:
        """Return when little waits to be sent, or nothing will be any more."""
        await self._has_room.wait()

    async def _send_frames(self) -> None:
        with suppress(ConnectionError):
            while self._outbox or not self._closing:
                if self._outbox:
                    await self._send_frame(self._outbox.take())
                else:
                    self._has_frames.clear()
                    await self._has_frames.wait()

    async def _send_frame(self, frame: Frame) -> None:
        self._is_sending = True
        await self.response.send_frame(frame.body, frame.type)
        self._is_sending = False
        self._sent_at = self._loop.time()
        self._counts.num_sent += 1
        if self._outbox.num_bytes <= self._settings.low_unsent_bytes:
            self._has_room.set()

    # Health

    def check(self, now: float) -> None:
        """Ping who is quiet, drop who is silent or stuck. `now`: the loop's time. Called every second."""
        settings = self._settings
        if (self._outbox or self._is_sending) and now - self._sent_at >= settings.stall_timeout_s:
            self.drop("slow_client", WSCloseCode.TRY_AGAIN_LATER)
        elif self._is_listening and now - self._heard_at >= settings.silence_timeout_s:
            self.drop("silent", WSCloseCode.TRY_AGAIN_LATER)
        elif now - max(self._heard_at, self._pinged_at) >= settings.ping_interval_s:
            self._pinged_at = now
            self._put(Frame(b"", WSMsgType.PING), "ping")

    # End

    @contextmanager
    def working(self) -> Iterator[None]:
        """While an answer is on its way the service's leaving waits for its end."""
        self.begin_work()
        try:
            yield
        finally:
            self.end_work()

    def begin_work(self) -> None:
        self._num_working += 1

    def end_work(self) -> None:
        self._num_working -= 1
        self._leave_if_idle()

    def leave(self) -> None:
        """Close with 1012, as the service restarts: now, or once the answers on their way have ended."""
        self._leaves_when_idle = True
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self._leaves_when_idle and not self._num_working:
            self.close(WSCloseCode.SERVICE_RESTART, "the service is restarting")

    def close(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """Close after what waits has been sent. What is put from now on is lost."""
        if not self._closing:
            self._closing = self._loop.create_task(self._close(code, reason))
            self._has_frames.set()

    def drop(self, reason: str, code: int) -> None:
        """Close at once, for a fault of the peer's, and free what waits."""
        if not self._closing:
            log.info("socket dropped", extra={"socket": self.id, "reason": reason})
            self._counts.dropped[reason] += 1
            self._outbox.clear()
            self._is_patient = False
            self.close(code, reason)

    async def finish(self) -> None:
        """Close, unless it is closing, and return when it has."""
        self.close()
        if self._closing:
            await asyncio.shield(self._closing)

    async def _close(self, code: int, reason: str) -> None:
        # The sender is not cancelled: who is cancelled while he waits for aiohttp's transport to drain takes
        # with him all who wait for it later, and this task would end here with the connection open.
        await asyncio.wait([self._sender], timeout=CLOSE_TIMEOUT_S if self._is_patient else 0)
        self._outbox.clear()
        self._has_room.set()
        try:
            # aiohttp waits as long for the peer's close frame, and without end for this side's to be sent.
            async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                await self.response.close(code=code, message=reason.encode()[:MAX_REASON_BYTES])
        except (TimeoutError, ConnectionError):
            self._transport.abort()
        finally:
            # A transport that is closed first sends what it has, to a peer that may never take it.
            self._loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)
