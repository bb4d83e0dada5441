"""Documents that several edit at once: websockets to edit them; list, read, forget. Only the caller's own."""

from aiohttp import web

from service.errors import NotFound
from service.handlers.sockets import open_socket
from service.keys import CALLER, DOCUMENTS
from service.params.documents import DocumentsParams, YjsQuery, read_doc_id
from service.params.read import parse_query, read
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


async def list_documents(request: web.Request) -> web.Response:
    """The caller's own documents, newest first."""
    params = await read(request, DocumentsParams)
    entries = await request.app[DOCUMENTS].list(request[CALLER], params.limit)
    found = [{"doc_id": entry.id, "updated": round(entry.updated_at, 3)} for entry in entries]
    return web.json_response({"documents": found})


async def get_document(request: web.Request) -> web.Response:
    """A document's text, as it is now."""
    doc_id = read_doc_id(request)
    async with request.app[DOCUMENTS].open(request[CALLER], doc_id) as room:
        document = room.document
        if document.is_empty:
            raise _unknown(doc_id)
        state = {"doc_id": doc_id, "content": document.content, "version": document.version}
    return web.json_response(state)


async def delete_document(request: web.Request) -> web.Response:
    """Forget a document."""
    doc_id = read_doc_id(request)
    if not await request.app[DOCUMENTS].delete(request[CALLER], doc_id):
        raise _unknown(doc_id)
    return web.json_response({"status": "deleted"})


def _unknown(doc_id: str) -> NotFound:
    message = f"document {doc_id!r} is unknown, or was forgotten (documents.ttl_s)"
    return NotFound(message, code="document_not_found", param="doc_id")
