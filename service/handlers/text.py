"""The project's own text routes."""

from aiohttp import web

from service.admission import admit
from service.chat.remember import remember_at_end
from service.dialects.native import ChatDialect, GenerateDialect, PlainDialect, SafeDialect, StreamTextDialect
from service.keys import DISPATCHER
from service.negotiation import TEXT, choose_framing
from service.params.native import ChatParams, GenerateParams, PromptParams, SafeParams
from service.params.read import read
from service.streams import Stream
from service.wire import send_stream
from service.wishing import wish_chat, wish_prompt


async def stream_text(request: web.Request) -> web.StreamResponse:
    """Tokens as they are made, then `{"done": true}`."""
    params = await read(request, PromptParams)
    job = admit(request, wish_prompt(request, params))
    stream = request.app[DISPATCHER].submit(job, StreamTextDialect())
    return await send_stream(request, stream, choose_framing(request))


async def generate_stream(request: web.Request) -> web.StreamResponse:
    """Tokens with ids and counts, between a start and a complete event."""
    params = await read(request, GenerateParams)
    job = admit(request, wish_prompt(request, params))
    stream = request.app[DISPATCHER].submit(job, GenerateDialect(job.stream_id))
    return await send_stream(request, stream, choose_framing(request))


async def generate_plain(request: web.Request) -> web.StreamResponse:
    """A page of plain text that grows."""
    params = await read(request, GenerateParams)
    job = admit(request, wish_prompt(request, params))
    stream = request.app[DISPATCHER].submit(job, PlainDialect(job.stream_id, params.prompt))
    return await send_stream(request, stream, choose_framing(request, TEXT))


async def safe_stream(request: web.Request) -> web.StreamResponse:
    """As `/generate_stream`; when the worker is lost it goes on elsewhere, after what was sent."""
    params = await read(request, SafeParams)
    job = admit(request, wish_prompt(request, params), max_retries=params.max_retries)
    stream = request.app[DISPATCHER].submit(job, SafeDialect(job.stream_id))
    return await send_stream(request, stream, choose_framing(request))


async def chat_stream(request: web.Request) -> web.StreamResponse:
    """The answer to one message, as events."""
    return await send_stream(request, await _chat(request), choose_framing(request))


async def chat_stream_simple(request: web.Request) -> web.StreamResponse:
    """The answer to one message, its text alone."""
    return await send_stream(request, await _chat(request), choose_framing(request, TEXT))


async def _chat(request: web.Request) -> Stream:
    params = await read(request, ChatParams)
    job = admit(request, await wish_chat(request, params))
    stream = request.app[DISPATCHER].submit(job, ChatDialect(job.stream_id))
    remember_at_end(request, params, stream)
    return stream
