"""One open websocket: messages in one by one, messages out without waiting.

out: superseded messages go -> who can wait waits for room -> who takes nothing is dropped as `slow_client`
"""

import asyncio
import logging
import secrets
from typing import NamedTuple

from aiohttp import WSCloseCode, WSMsgType

from config.settings import SocketSettings
from service.dialects.dialect import encode
from service.errors import TooMany, error_object
from service.sockets.counts import Counts
from service.sockets.outbox import Frame, make_frame
from service.sockets.sender import Sender, Wire
from service.sockets.throttle import Throttle

log = logging.getLogger(__name__)

# How long a peer may take to hear that the socket closes: the service's leaving waits for it.
CLOSE_TIMEOUT_S = 2.0
# How long it is enough to have told who sends too fast.
TOLD_S = 10.0
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
        wire: Wire,
        seat: Seat,
        settings: SocketSettings,
    ) -> None:
        self.id = f"ws_{secrets.token_urlsafe(9)}"
        self.response = wire.response
        # Other protocols have no words for errors of the connection, and may fail on what they do not know.
        self.speaks_json = True
        self._transport = wire.transport
        self._throttle, self._counts = seat
        self._settings = settings
        self._sender = Sender(wire, self._counts, settings.low_unsent_bytes)
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._pinged_at = self._loop.time()
        # Not while a message is being handled: silence is then this side's.
        self._is_listening = False
        self._throttled_at = -TOLD_S
        self._num_working = 0
        self._leaves_when_idle = False
        self._closing: asyncio.Task[None] | None = None

    # In

    async def receive(self) -> str | bytes | None:
        """The next message, text or binary; None when the socket has closed.

        A key that sends more than its messages a second waits here, and so does a socket that does
        not take what it is sent.
        """
        while True:
            await self.room()
            # What was said to the last message goes out before the next one can close the socket.
            self._sender.flush()
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
                self.put(make_frame(bytes(message.data), WSMsgType.PONG), "pong")
            elif message.type is not WSMsgType.PONG:
                data: str | bytes = message.data
                return data

    async def _wait_turn(self) -> None:
        delay_s = self._throttle.take(self._heard_at)
        if not delay_s:
            return
        # Told once for a flood, though it may catch up now and then.
        is_told = self._heard_at - self._throttled_at < TOLD_S
        self._throttled_at = self._heard_at
        if not is_told:
            self._counts.num_throttled += 1
            limit = self._settings.max_messages_per_s
            message = f"more than {limit} messages a second (sockets.max_messages_per_s): taken more slowly"
            error = TooMany(message, code="too_many_messages")
            if self.speaks_json:
                self.send(encode({"type": "error", "error": error_object(error)}), slot="too_many_messages")
        await asyncio.sleep(delay_s)

    # Out

    @property
    def num_unsent_bytes(self) -> int:
        return self._sender.num_bytes

    def send(self, body: bytes, *, slot: str | None = None, is_binary: bool = False) -> None:
        """Put a message behind those that wait; in a `slot` it takes the place of an unsent one.

        Who has not taken `max_unsent_bytes` is dropped.
        """
        self.put(make_frame(body, WSMsgType.BINARY if is_binary else WSMsgType.TEXT), slot)

    def put(self, frame: Frame, slot: str | None = None) -> None:
        """As `send`, for who has a frame already."""
        if self._closing:
            return
        if self._sender.num_bytes > self._settings.max_unsent_bytes:
            # Perhaps the turn was a busy one, and nobody has been asked to take it.
            self._sender.flush()
            if self._sender.num_bytes > self._settings.max_unsent_bytes:
                self.drop("slow_client", WSCloseCode.TRY_AGAIN_LATER)
                return
        self._sender.put(frame, slot)

    @property
    def has_room(self) -> bool:
        """Whether little waits to be sent; who can wait does so with `room`."""
        return self._sender.has_room

    async def room(self) -> None:
        """Return when little waits to be sent, or nothing will be any more."""
        await self._sender.room()

    # Health

    def check(self, now: float) -> None:
        """Ping who is quiet, drop who is silent or stuck. `now`: the loop's time. Called every second."""
        settings = self._settings
        if self._sender.stuck_s(now) >= settings.stall_timeout_s:
            self.drop("slow_client", WSCloseCode.TRY_AGAIN_LATER)
        elif self._is_listening and now - self._heard_at >= settings.silence_timeout_s:
            self.drop("silent", WSCloseCode.TRY_AGAIN_LATER)
        elif now - max(self._heard_at, self._pinged_at) >= settings.ping_interval_s:
            self._pinged_at = now
            self.put(make_frame(b"", WSMsgType.PING), "ping")

    # End

    def begin_work(self) -> None:
        """An answer is on its way: until `end_work` the service's leaving waits for it."""
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

    def drop(self, reason: str, code: int) -> None:
        """Close at once, for a fault of the peer's, and free what waits."""
        if not self._closing:
            log.info("socket dropped", extra={"socket": self.id, "reason": reason})
            self._counts.dropped[reason] += 1
            self._sender.discard()
            self.close(code, reason)

    async def finish(self) -> None:
        """Close, unless it is closing, and return when it has."""
        self.close()
        if self._closing:
            await asyncio.shield(self._closing)

    async def _close(self, code: int, reason: str) -> None:
        await self._sender.finish(CLOSE_TIMEOUT_S)
        try:
            # aiohttp waits as long for the peer's close frame, and without end for this side's to be sent.
            async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                await self.response.close(code=code, message=reason.encode()[:MAX_REASON_BYTES])
        except (TimeoutError, ConnectionError):
            self._transport.abort()
        finally:
            # A transport that is closed first sends what it has, to a peer that may never take it.
            self._loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)
