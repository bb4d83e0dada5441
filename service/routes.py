"""Every route, in one table: what the router serves and `/openapi.json` describes."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from msgspec import Struct

from service.handlers import (
    documents,
    feeds,
    images,
    openai,
    operations,
    pipelines,
    sessions,
    sockets,
    streams,
    tasks,
    text,
)
from service.keys import ROUTE_TABLE
from service.params.chat import SessionsParams
from service.params.documents import DocumentsParams
from service.params.feed import FeedParams
from service.params.images import ImageGenerationParams, ImageParams
from service.params.native import ChatParams, GenerateParams, PromptParams, SafeParams
from service.params.openai import ChatCompletionParams, CompletionParams
from service.params.pipeline import ItemsParams, PipelineParams, ProcessParams
from service.params.sockets import SessionQuery

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = ("application/json",)
SSE = ("text/event-stream", "application/x-ndjson", "text/plain")
NDJSON = ("application/x-ndjson", "text/event-stream", "text/plain")
TEXT = ("text/plain", "text/event-stream", "application/x-ndjson")
OPENAI = ("application/json", "text/event-stream")
WEBSOCKET = ("websocket",)


class Route(NamedTuple):
    """`media` lists the answers' types, the default first; open routes need no key."""

    method: str
    path: str
    handler: Handler
    params: type[Struct] | None = None
    media: tuple[str, ...] = JSON
    is_open: bool = False


ROUTES = [
    Route("POST", "/stream_text", text.stream_text, PromptParams, SSE),
    Route("GET", "/stream_text", text.stream_text, PromptParams, SSE),
    Route("POST", "/generate_stream", text.generate_stream, GenerateParams, SSE),
    Route("GET", "/generate_stream", text.generate_stream, GenerateParams, SSE),
    Route("POST", "/generate-stream", text.generate_plain, GenerateParams, TEXT),
    Route("POST", "/safe_stream", text.safe_stream, SafeParams, SSE),
    Route("POST", "/chat/stream", text.chat_stream, ChatParams, SSE),
    Route("GET", "/chat/stream", text.chat_stream, ChatParams, SSE),
    Route("POST", "/chat/stream-simple", text.chat_stream_simple, ChatParams, TEXT),
    Route("POST", "/chat/stream/{stream_id}/cancel", streams.cancel_stream),
    Route("GET", "/chat", sockets.chat, SessionQuery, WEBSOCKET),
    Route("GET", "/chat/sessions", sessions.list_sessions, SessionsParams),
    Route("GET", "/chat/sessions/{session_id}", sessions.get_session),
    Route("DELETE", "/chat/sessions/{session_id}", sessions.delete_session),
    Route("POST", "/generate_image_stream", images.generate_image_stream, ImageParams, SSE),
    Route("GET", "/generate_image_stream", images.generate_image_stream, ImageParams, SSE),
    Route("POST", "/pipeline_stream", pipelines.pipeline_stream, PipelineParams, SSE),
    Route("GET", "/pipeline_stream", pipelines.pipeline_stream, PipelineParams, SSE),
    Route("POST", "/process_stream", pipelines.process_stream, ItemsParams, SSE),
    Route("POST", "/process-stream", pipelines.process_text, ProcessParams, NDJSON),
    Route("POST", "/process-batch", pipelines.process_batch, ProcessParams),
    Route("GET", "/buffered_stream", feeds.buffered_stream, FeedParams, SSE),
    Route("GET", "/tasks", tasks.list_tasks),
    Route("POST", "/tasks/{name}", tasks.run_task, media=SSE),
    Route("GET", "/streams", streams.list_streams),
    Route("GET", "/streams/{stream_id}", streams.follow_stream, media=SSE + WEBSOCKET),
    Route("DELETE", "/streams/{stream_id}", streams.cancel_stream),
    Route("POST", "/streams/{stream_id}/cancel", streams.cancel_stream),
    Route("GET", "/v1/models", openai.list_models),
    Route("GET", "/v1/models/{model:.+}", openai.get_model),
    Route("POST", "/v1/chat/completions", openai.chat_completions, ChatCompletionParams, OPENAI),
    Route("POST", "/v1/completions", openai.completions, CompletionParams, OPENAI),
    Route("POST", "/v1/images/generations", images.image_generations, ImageGenerationParams, OPENAI),
    Route("GET", "/v1/chat/completions", sockets.chat_completions, media=WEBSOCKET),
    Route("GET", "/ws", sockets.echo, media=WEBSOCKET),
    Route("GET", "/ws/images", sockets.images, media=WEBSOCKET),
    Route("GET", "/ws/{client_id}", sockets.client, media=WEBSOCKET),
    Route("GET", "/documents", documents.list_documents, DocumentsParams),
    Route("GET", "/documents/{doc_id}", documents.get_document),
    Route("DELETE", "/documents/{doc_id}", documents.delete_document),
    Route("GET", "/collaborate/{doc_id}", documents.write_document, media=WEBSOCKET),
    Route("GET", "/collaborate/{doc_id}/yjs", documents.edit_document, media=WEBSOCKET),
    Route("GET", "/healthz", operations.healthz, is_open=True),
    Route("GET", "/readyz", operations.readyz, is_open=True),
    Route("GET", "/metrics", operations.metrics),
    Route("GET", "/openapi.json", operations.openapi, is_open=True),
]


def add_routes(app: web.Application) -> None:
    app[ROUTE_TABLE] = ROUTES
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
        # Load balancers ask with HEAD; for a stream there is no answer to it.
        if route.method == "GET" and route.media == JSON:
            app.router.add_route("HEAD", route.path, route.handler)
