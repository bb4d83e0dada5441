"""Websocket routes: each opens a connection and has its talk run until the socket closes."""

import secrets
from contextlib import AbstractAsyncContextManager

from aiohttp import web

from service.chat.room import CHATS
from service.keys import CALLER, CLIENTS, SESSIONS, SOCKETS
from service.params.read import parse_query
from service.params.sockets import SessionQuery
from service.sockets.clients import read_client_id
from service.sockets.connection import Connection
from service.talks.chat import ChatTalk
from service.talks.client import ClientTalk
from service.talks.completions import CompletionTalk
from service.talks.echo import EchoTalk
from service.talks.images import ImageTalk


async def echo(request: web.Request) -> web.WebSocketResponse:
    """`/ws`: text in, `Echo: <text>` out; a connectivity check."""
    async with open_socket(request) as connection:
        await EchoTalk(request, connection).run()
    return connection.response


async def client(request: web.Request) -> web.WebSocketResponse:
    """A chat with one client, who is known by his id."""
    clients, caller, client_id = request.app[CLIENTS], request[CALLER], read_client_id(request)
    clients.require_free(caller, client_id)
    async with open_socket(request) as connection:
        with clients.hold(caller, client_id, connection):
            await ClientTalk(request, connection).run()
    return connection.response


async def chat(request: web.Request) -> web.WebSocketResponse:
    """A chat session, which several may join, and which outlives its sockets."""
    query = parse_query(request.rel_url.raw_query_string, SessionQuery)
    session_id, caller = query.session_id or f"cs_{secrets.token_urlsafe(12)}", request[CALLER]
    history = await request.app[SESSIONS].history(caller, session_id)
    async with open_socket(request) as connection:
        with request.app[CHATS].enter(caller, session_id, connection) as room:
            await ChatTalk(request, connection, room, len(history)).run()
    return connection.response


async def chat_completions(request: web.Request) -> web.WebSocketResponse:
    """Chat completions over one websocket, several at once."""
    async with open_socket(request) as connection:
        await CompletionTalk(request, connection).run()
    return connection.response


async def images(request: web.Request) -> web.WebSocketResponse:
    """Images over a websocket, one after another."""
    async with open_socket(request) as connection:
        await ImageTalk(request, connection).run()
    return connection.response


def open_socket(request: web.Request) -> AbstractAsyncContextManager[Connection]:
    """The upgraded connection of this request. Raises as `Sockets.open`."""
    return request.app[SOCKETS].open(request, request[CALLER])
