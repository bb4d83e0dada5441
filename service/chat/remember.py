"""Adds an exchange to its session's history when the answer has ended."""

from aiohttp import web

from service.keys import SESSIONS
from service.params.native import ChatParams
from service.streams import Stream
from workers.messages import ChatMessage


def remember_at_end(request: web.Request, params: ChatParams, stream: Stream) -> None:
    """An answer that was begun belongs to the history, however it ended."""
    if params.session_id is None:
        return
    job, sessions, session_id = stream.job, request.app[SESSIONS], params.session_id
    job.keeps_text = True

    def remember(_: Stream) -> None:
        if job.texts:
            exchange = ChatMessage("user", params.message), ChatMessage("assistant", "".join(job.texts))
            sessions.remember_soon(job.key, session_id, *exchange)

    stream.on_end.append(remember)
