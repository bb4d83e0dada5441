"""Websockets of documents that several edit at once."""

from aiohttp import web

from service.handlers.sockets import open_socket
from service.keys import CALLER, DOCUMENTS
from service.params.documents import YjsQuery, read_doc_id
from service.params.read import parse_query
from service.talks.documents import WriterTalk
from service.talks.yjs import YjsTalk


async def write_document(request: web.Request) -> web.WebSocketResponse:
    """A document that several edit at once, by operations."""
    doc_id, documents = read_doc_id(request), request.app[DOCUMENTS]
    async with documents.open(request[CALLER], doc_id) as room, open_socket(request) as connection:
        await WriterTalk(request, connection, room).run()
    return connection.response


async def edit_document(request: web.Request) -> web.WebSocketResponse:
    """The same document for Yjs clients, such as y-websocket."""
    doc_id, documents = read_doc_id(request), request.app[DOCUMENTS]
    query = parse_query(request.rel_url.raw_query_string, YjsQuery)
    async with documents.open(request[CALLER], doc_id) as room, open_socket(request) as connection:
        await YjsTalk(request, connection, room, query.text).run()
    return connection.response
