"""The open websockets: bounded in number, counted, and told when the service leaves."""

import asyncio

from aiohttp import WSCloseCode, web

from service.errors import Unavailable

PING_S = 30.0
# How long a peer may take to answer a close: the service's leaving waits for it.
CLOSE_TIMEOUT_S = 2.0


class Sockets:
    """Every open websocket of this process."""

    def __init__(self, max_sockets: int, max_message_bytes: int) -> None:
        self._max_sockets = max_sockets
        self._max_message_bytes = max_message_bytes
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def accept(self, request: web.Request) -> web.WebSocketResponse:
        """Upgrade the request; give the socket back with `release`. Raises Unavailable when full."""
        if len(self._open) >= self._max_sockets:
            message = f"{len(self._open)} websockets are open >= {self._max_sockets} (http.max_sockets)"
            raise Unavailable(message, code="too_many_sockets", retry_after_s=5)
        socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, heartbeat=PING_S, max_msg_size=self._max_message_bytes
        )
        self._open.add(socket)
        try:
            await socket.prepare(request)
        except BaseException:
            self.release(socket)
            raise
        return socket

    def release(self, socket: web.WebSocketResponse) -> None:
        self._open.discard(socket)

    async def close(self) -> None:
        """Tell everyone to come back later."""
        code, message = WSCloseCode.SERVICE_RESTART, b"the service is restarting"
        await asyncio.gather(*(socket.close(code=code, message=message) for socket in self._open))
