"""Live feeds."""

from aiohttp import web

from service.admission import admit_work
from service.dialects.feed import FeedDialect
from service.errors import NotFound
from service.feeds import Feed
from service.keys import DISPATCHER, FEEDS
from service.negotiation import choose_framing
from service.params.feed import FeedParams
from service.params.read import read
from service.wire import send_stream
from workers.messages import TaskWork


async def buffered_stream(request: web.Request) -> web.StreamResponse:
    """A live feed: first the items that it has kept, then each as it comes."""
    params = await read(request, FeedParams)
    feed = _find(request, params.feed)
    # What it yields are items, as a task's are; it is only shared, and runs in the service.
    job = admit_work(request, f"feed:{feed.name}", TaskWork(feed.name, b""), is_endless=True)
    stream = request.app[DISPATCHER].submit(job, FeedDialect(), feed)
    return await send_stream(request, stream, choose_framing(request))


def _find(request: web.Request, name: str) -> Feed:
    """The feed of that name; the first when none is named. Raises NotFound."""
    feeds = request.app[FEEDS]
    if feeds and not name:
        return next(iter(feeds.values()))
    if name not in feeds:
        known = ", ".join(feeds) or "none (feeds.names)"
        message = f"$.feed: {name[:80]!r} is unknown; there is: {known}"
        raise NotFound(message, code="feed_not_found", param="feed")
    return feeds[name]
