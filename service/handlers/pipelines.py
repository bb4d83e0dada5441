"""Texts and lists that go through stages."""

from aiohttp import web

from service.admission import admit_work
from service.collect import read_to_end
from service.dialects.items import ItemsDialect
from service.dialects.pipeline import PipelineDialect
from service.dialects.process import ProcessDialect
from service.dialects.sections import Sections
from service.keys import DISPATCHER
from service.models import PIPELINE, find_model
from service.negotiation import NDJSON, choose_framing
from service.params.pipeline import ItemsParams, PipelineParams, ProcessParams
from service.params.read import read
from service.pipelines import wish_items, wish_pipeline, wish_process
from service.streams import Stream
from service.wire import send_stream


async def pipeline_stream(request: web.Request) -> web.StreamResponse:
    """Each step of a pipeline with its result, then all of them; the first failure ends it."""
    params = await read(request, PipelineParams)
    model = find_model(request, params.model, PIPELINE)
    work = wish_pipeline(request, model, params)
    job = admit_work(request, model, work)
    stream = request.app[DISPATCHER].submit(job, PipelineDialect(job.stream_id, work.steps))
    return await send_stream(request, stream, choose_framing(request))


async def process_stream(request: web.Request) -> web.StreamResponse:
    """A list's items, chunk by chunk, then the totals."""
    params = await read(request, ItemsParams)
    model = find_model(request, params.model, PIPELINE)
    job = admit_work(request, model, wish_items(request, params))
    stream = request.app[DISPATCHER].submit(job, ItemsDialect(len(params.data), params.chunk_size))
    return await send_stream(request, stream, choose_framing(request))


async def process_text(request: web.Request) -> web.StreamResponse:
    """A text's sentiment, summary and entities as they are made."""
    stream = await _process(request)
    return await send_stream(request, stream, choose_framing(request, NDJSON))


async def process_batch(request: web.Request) -> web.Response:
    """A text's sentiment, summary and entities in one answer."""
    stream, sections = await _process(request), Sections()
    await read_to_end(stream, sections.take)
    body = sections.whole(stream.age_s)
    return web.Response(body=body, content_type="application/json", headers={"X-Stream-Id": stream.id})


async def _process(request: web.Request) -> Stream:
    params = await read(request, ProcessParams)
    model = find_model(request, params.model, PIPELINE)
    job = admit_work(request, model, wish_process(params))
    return request.app[DISPATCHER].submit(job, ProcessDialect(job.stream_id, len(params.text)))
