"""Every open websocket of this process: who may open one, how many there are, and their leaving."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from aiohttp import WSCloseCode, web
from msgspec import Struct, to_builtins

from config.settings import SocketSettings
from service.errors import TooMany, Unavailable
from service.sockets.connection import CLOSE_TIMEOUT_S, Connection, Seat
from service.sockets.counts import Counts
from service.sockets.handshake import require_handshake, require_origin
from service.sockets.sender import Wire
from service.sockets.throttle import Throttle

RETRY_AFTER_S = 5


class Tenant(Struct):
    """One key's sockets."""

    throttle: Throttle
    num_open: int = 0


class Sockets:
    """Opens, counts, watches and closes connections. `origins` are those that browsers may come from."""

    def __init__(self, settings: SocketSettings, origins: Sequence[str]) -> None:
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)
        self._settings = settings
        self._origins = origins
        self._connections: set[Connection] = set()
        self._num_open = 0
        self._tenants: dict[str, Tenant] = {}
        self._is_draining = False

    def __len__(self) -> int:
        return self._num_open

    @property
    def num_unsent_bytes(self) -> int:
        return sum(connection.num_unsent_bytes for connection in self._connections)

    def summary(self) -> dict[str, Any]:
        """What `/metrics` says of them: by route."""
        return {route: to_builtins(counts) for route, counts in self.counts.items()}

    @asynccontextmanager
    async def open(self, request: web.Request, caller: str) -> AsyncIterator[Connection]:
        """Upgrade the caller's request; the connection is closed when the block ends.

        Before the upgrade raises Forbidden for a foreign origin, TooMany and Unavailable where there is
        no room, UpgradeRequired and BadParams when the request asks for no websocket, or wrongly.
        """
        require_handshake(request)
        require_origin(request, self._origins)
        with self._seat(_route(request), caller) as seat:
            connection = await self._upgrade(request, seat)
            self._connections.add(connection)
            try:
                yield connection
            except Exception:
                connection.close(WSCloseCode.INTERNAL_ERROR, "internal error")
                raise
            finally:
                try:
                    await connection.finish()
                finally:
                    self._connections.discard(connection)

    def check(self) -> None:
        """Ping the quiet, drop the silent and the stuck. Called every second."""
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._connections):
            connection.check(now)

    def drain(self) -> None:
        """Open none any more. Whoever waits for no answer is sent away, the others after theirs."""
        self._is_draining = True
        for connection in tuple(self._connections):
            connection.leave()

    async def close(self) -> None:
        """Tell everyone to come back later; return when all have closed."""
        for connection in self._connections:
            connection.close(WSCloseCode.SERVICE_RESTART, "the service is restarting")
        await asyncio.gather(*(connection.finish() for connection in self._connections))

    @contextmanager
    def _seat(self, route: str, caller: str) -> Iterator[Seat]:
        """Room for one more, taken before anything is waited for."""
        tenant = self._tenants.get(caller) or Tenant(Throttle(self._settings.max_messages_per_s))
        self._check_room(tenant)
        counts = self.counts[route]
        self._tenants[caller] = tenant
        self._count(tenant, counts, 1)
        counts.num_opened += 1
        try:
            yield Seat(tenant.throttle, counts)
        finally:
            self._count(tenant, counts, -1)
            if not tenant.num_open:
                del self._tenants[caller]

    def _count(self, tenant: Tenant, counts: Counts, change: int) -> None:
        self._num_open += change
        tenant.num_open += change
        counts.num_open += change

    def _check_room(self, tenant: Tenant) -> None:
        if self._is_draining:
            raise Unavailable("the service is shutting down", code="drained", retry_after_s=RETRY_AFTER_S)
        limit, key_limit = self._settings.max_sockets, self._settings.max_sockets_per_key
        if self._num_open >= limit:
            message = f"{self._num_open} websockets are open >= {limit} (sockets.max_sockets)"
            raise Unavailable(message, code="too_many_sockets", retry_after_s=RETRY_AFTER_S)
        if tenant.num_open >= key_limit:
            message = f"{tenant.num_open} websockets are open >= {key_limit} (sockets.max_sockets_per_key)"
            raise TooMany(message, code="too_many_sockets", retry_after_s=RETRY_AFTER_S)

    async def _upgrade(self, request: web.Request, seat: Seat) -> Connection:
        settings = self._settings
        response = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S,
            autoping=False,
            compress=settings.compress,
            # aiohttp refuses what reaches its limit.
            max_msg_size=settings.max_message_bytes + 1,
        )
        writer = await response.prepare(request)
        if request.transport is None:
            raise ConnectionResetError("gone while it was being upgraded")
        return Connection(Wire(response, writer, request.protocol, request.transport), seat, settings)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else request.path
