"""Websocket routes."""

from aiohttp import WSMsgType, web

from service.keys import SETTINGS

PING_S = 30.0


async def echo(request: web.Request) -> web.WebSocketResponse:
    """`/ws`: text in, `Echo: <text>` out; a connectivity check."""
    limit = request.app[SETTINGS].http.max_message_bytes
    socket = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=limit)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(f"Echo: {message.data}")
        else:
            await socket.send_json({"error": {"message": "expected text", "type": "invalid_request_error"}})
    return socket
