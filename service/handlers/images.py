"""Images: their steps and previews as they are made."""

from aiohttp import web

from service.admission import admit_work, wants_resume
from service.collect import read_to_end
from service.dialects.image_generations import ImageGenerationsDialect
from service.dialects.images import ImageDialect
from service.errors import from_ending
from service.events import StreamEvent
from service.images import wish_generation, wish_images
from service.keys import DISPATCHER
from service.models import IMAGE, find_model
from service.negotiation import choose_framing, sse
from service.params.images import ImageGenerationParams, ImageParams
from service.params.read import read
from service.streams import Stream
from service.wire import send_stream
from workers.messages import Images


async def generate_image_stream(request: web.Request) -> web.StreamResponse:
    """Each denoising step of an image, with previews, then the image."""
    params = await read(request, ImageParams)
    model = find_model(request, params.model, IMAGE)
    work = wish_images(request, model, params)
    job = admit_work(request, model, work)
    stream = request.app[DISPATCHER].submit(job, ImageDialect(job.stream_id, model, work))
    return await send_stream(request, stream, choose_framing(request))


async def image_generations(request: web.Request) -> web.StreamResponse:
    """`/v1/images/generations`, streamed or whole."""
    params = await read(request, ImageGenerationParams, bad_status=400)
    model = find_model(request, params.model, IMAGE)
    work = wish_generation(request, model, params)
    dialect = ImageGenerationsDialect(work, params.quality_name())
    stream = request.app[DISPATCHER].submit(admit_work(request, model, work), dialect)
    if params.stream:
        return await send_stream(request, stream, sse(request, has_ids=wants_resume(request)))
    body = dialect.whole(await _images(stream))
    return web.Response(body=body, content_type="application/json", headers={"X-Stream-Id": stream.id})


async def _images(stream: Stream) -> Images:
    """What the stream comes to. Raises ApiError when that is nothing."""
    found: list[Images] = []

    def take(event: StreamEvent) -> None:
        if isinstance(event, Images):
            found.append(event)

    await read_to_end(stream, take)
    if not found:
        raise from_ending(stream.state)
    return found[0]
