"""Streams by id: list, resume, cancel."""

from aiohttp import web

from service.errors import BadParams, Conflict
from service.handlers.sockets import open_socket
from service.keys import CALLER, CATALOGUE
from service.negotiation import choose_framing
from service.sockets.handshake import asks_for_websocket
from service.streams import Stream
from service.talks.streams import StreamTalk
from service.wire import send_stream


async def list_streams(request: web.Request) -> web.Response:
    """The caller's own streams."""
    streams = request.app[CATALOGUE].of_key(request[CALLER])
    return web.json_response({"streams": [stream.summary() for stream in streams]})


async def follow_stream(request: web.Request) -> web.StreamResponse:
    """The stream's events after `Last-Event-ID`, then live; as messages over a websocket."""
    stream, after = _find(request), _last_event_id(request)
    if not asks_for_websocket(request):
        return await send_stream(request, stream, choose_framing(request), after=after)
    stream.require_logged(after)
    async with open_socket(request) as connection:
        await StreamTalk(request, connection, stream, after).run()
    return connection.response


async def cancel_stream(request: web.Request) -> web.Response:
    """End a running stream as `cancelled`."""
    stream = _find(request)
    if stream.terminal and stream.state != "cancelled":
        raise Conflict(f"stream {stream.id} has already ended: {stream.state}", code=stream.state)
    stream.end("cancelled")
    return web.json_response({"status": "cancelled"})


def _find(request: web.Request) -> Stream:
    return request.app[CATALOGUE].get(request.match_info["stream_id"], request[CALLER])


def _last_event_id(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID") or request.query.get("last_event_id") or "0"
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        message = f"Last-Event-ID {text[:40]!r}: expected a whole number from 0"
        raise BadParams(message, param="last_event_id", status=400)
    return int(text)
