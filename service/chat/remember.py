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
    job, sessions = stream.job, request.app[SESSIONS]
    job.keeps_text = True
    place = sessions.place(job.key, params.session_id)

    def remember(_: Stream) -> None:
        if job.texts:
            answer = ChatMessage("assistant", "".join(job.texts))
            question = ChatMessage("user", params.message)
            sessions.remember_soon(place, *params.system_messages(), question, answer)

    stream.on_end.append(remember)
