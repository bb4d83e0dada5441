"""The OpenAI routes for text."""

from aiohttp import web

from service.admission import admit, wants_resume
from service.collect import collect
from service.dialects.openai import ChatCompletionsDialect, CompletionsDialect, OpenAIDialect, facts_of
from service.job import Job
from service.keys import DISPATCHER, SETTINGS, SUPERVISOR
from service.models import IMAGE, models_of
from service.negotiation import sse
from service.params.openai import ChatCompletionParams, CommonParams, CompletionParams
from service.params.read import read
from service.wire import send_stream
from service.wishing import resolve_model, text_models, wish_chat_completion, wish_completion


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """`/v1/chat/completions`, streamed or whole."""
    params = await read(request, ChatCompletionParams, bad_status=400)
    job = admit(request, wish_chat_completion(request, params))
    return await _answer(request, params, job, ChatCompletionsDialect(facts_of("chatcmpl", params, job)))


async def completions(request: web.Request) -> web.StreamResponse:
    """`/v1/completions`, streamed or whole."""
    params = await read(request, CompletionParams, bad_status=400)
    job = admit(request, wish_completion(request, params))
    return await _answer(request, params, job, CompletionsDialect(facts_of("cmpl", params, job)))


async def _answer(
    request: web.Request, params: CommonParams, job: Job, dialect: OpenAIDialect
) -> web.StreamResponse:
    stream = request.app[DISPATCHER].submit(job, dialect)
    if params.stream:
        return await send_stream(request, stream, sse(request, has_ids=wants_resume(request)))
    body = dialect.whole(*await collect(stream))
    return web.Response(body=body, content_type="application/json", headers={"X-Stream-Id": stream.id})


async def list_models(request: web.Request) -> web.Response:
    """`/v1/models`: the configured models and their adapters."""
    names = [*text_models(request), *models_of(request, IMAGE)]
    data = [_model(request, name) for name in names]
    return web.json_response({"object": "list", "data": data})


async def get_model(request: web.Request) -> web.Response:
    """`/v1/models/{model}`."""
    name = request.match_info["model"]
    if name not in models_of(request, IMAGE):
        name = resolve_model(request, name)
    return web.json_response(_model(request, name))


def _model(request: web.Request, name: str) -> dict[str, object]:
    limits, settings = request.app[SUPERVISOR].limits(name), request.app[SETTINGS]
    return {
        "id": name,
        "object": "model",
        "created": request.app[SUPERVISOR].created,
        "owned_by": "sluice",
        "root": settings.base_of(name),
        "parent": settings.base_of(name) if settings.adapter_of(name) else None,
        "max_model_len": limits.max_model_len if limits else None,
        "description": limits.description if limits else "loading",
    }
