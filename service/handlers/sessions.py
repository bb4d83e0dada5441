"""Chat sessions by id: list, read, forget. Only the caller's own."""

from typing import Any

from aiohttp import web

from service.chat.sessions import ChatSession
from service.errors import NotFound
from service.keys import CALLER, SESSIONS
from service.params.chat import SessionsParams
from service.params.read import read

MAX_SHOWN_CHARS = 128


async def list_sessions(request: web.Request) -> web.Response:
    """The caller's own chat sessions, newest first."""
    params = await read(request, SessionsParams)
    sessions = await request.app[SESSIONS].list(request[CALLER], params.limit)
    return web.json_response({"sessions": [_summary(session) for session in sessions]})


async def get_session(request: web.Request) -> web.Response:
    """A chat session and what was said in it."""
    session_id = request.match_info["session_id"]
    session = await request.app[SESSIONS].get(request[CALLER], session_id)
    if session is None:
        raise _unknown(session_id)
    messages = [{"role": message.role, "content": message.content} for message in session.messages]
    return web.json_response(_summary(session) | {"messages": messages})


async def delete_session(request: web.Request) -> web.Response:
    """Forget a chat session."""
    session_id = request.match_info["session_id"]
    if not await request.app[SESSIONS].delete(request[CALLER], session_id):
        raise _unknown(session_id)
    return web.json_response({"status": "deleted"})


def _summary(session: ChatSession) -> dict[str, Any]:
    return {
        "session_id": session.id,
        "created": round(session.created_at, 3),
        "updated": round(session.updated_at, 3),
        "num_messages": len(session.messages),
    }


def _unknown(session_id: str) -> NotFound:
    return NotFound(
        f"session {session_id[:MAX_SHOWN_CHARS]!r} is unknown, or was forgotten (chat.session_ttl_s)",
        code="session_not_found",
        param="session_id",
    )
