"""Websocket routes."""

from aiohttp import WSMsgType, web

from service.errors import BadParams, error_object
from service.keys import SOCKETS


async def echo(request: web.Request) -> web.WebSocketResponse:
    """`/ws`: text in, `Echo: <text>` out; a connectivity check."""
    socket = await request.app[SOCKETS].accept(request)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"Echo: {message.data}")
            else:
                error = BadParams("expected a text frame, not a binary one")
                await socket.send_json({"type": "error", "error": error_object(error)})
    finally:
        request.app[SOCKETS].release(socket)
    return socket
