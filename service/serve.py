"""Runs the application: listen, say so, serve until a signal, drain, leave with 0."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys

from aiohttp import web
from aiohttp.http import HttpProcessingError

from config.settings import Settings
from service.app import make_app
from service.keys import DISPATCHER, FEEDS, SOCKETS, SUPERVISOR
from service.notify import Notifier
from service.protocol import Runner
from service.supervisor import Supervisor
from workers.messages import Limits

log = logging.getLogger(__name__)

BACKLOG = 4096
# Objects, and collections of the younger generation, after which the garbage collector looks at each.
GC_THRESHOLDS = (20_000, 20, 50)
CALLERS_FAULTS = (HttpProcessingError, web.RequestPayloadError)
# What handlers have to write out their last events once all streams have ended.
SHUTDOWN_TIMEOUT_S = 5.0


def allow_many_sockets() -> None:
    """Raise the soft limit of open files to the hard one: a thousand streams are a thousand sockets."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_rarely() -> None:
    """Have the garbage collector pass over all modules, which stay for good, and come less often.

    With a thousand websockets open a full collection stopped every stream for 90 to 190 ms, about once a
    second, and found next to nothing: what the service makes for an event is freed by its last reference.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def is_ours(record: logging.LogRecord) -> bool:
    """Whether a line of aiohttp's is for operators: what a client cannot spell is answered, not logged."""
    return not (record.exc_info and isinstance(record.exc_info[1], CALLERS_FAULTS))


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the address cannot be had."""
    notifier, leaving = Notifier(), asyncio.Event()
    allow_many_sockets()
    logging.getLogger("aiohttp.server").addFilter(is_ours)
    listener = listen(settings)
    app = make_app(settings)
    # With cancellation off, a queued job whose client had left was not noticed for seconds.
    runner = Runner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        keepalive_timeout=75,
    )
    await runner.setup()
    collect_rarely()
    try:
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        url = url_of(listener)
        log.info("listening", extra={"url": url})
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, leaving.set)
        tasks = [
            asyncio.create_task(notifier.keep_watchdog()),
            asyncio.create_task(_announce(app, notifier, url)),
        ]
        await leaving.wait()
        notifier.send(STOPPING="1", STATUS="draining")
        await _drain(app, settings, leaving)
        for task in tasks:
            task.cancel()
    finally:
        # Whatever went wrong above: workers left alone would keep this process from ending.
        await runner.cleanup()
    log.info("stopped")


def listen(settings: Settings) -> socket.socket:
    """A bound socket. Accepted sockets inherit its send buffer: what a stalled client costs."""
    family = socket.AF_INET6 if ":" in settings.http.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.http.send_buffer_bytes)
    listener.bind((settings.http.host, settings.http.port))
    listener.listen(BACKLOG)
    return listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _announce(app: web.Application, notifier: Notifier, url: str) -> None:
    notifier.send(STATUS=f"loading models, listening on {url}")
    await app[SUPERVISOR].wait_ready()
    notifier.send(READY="1", STATUS=f"serving on {url}")
    sys.stdout.write(banner(app[SUPERVISOR], [*app[FEEDS]], url))
    sys.stdout.flush()


def banner(supervisor: Supervisor, feeds: list[str], url: str) -> str:
    """What is loaded, where, and lines to try."""
    lines = [f"Sluice is ready on {url}"]
    for post in supervisor.posts:
        description = post.limits.description if post.limits else "not loaded"
        lines.append(f"  model {post.model!r}: {description} (worker {post.index})")
    examples = [line for post in supervisor.posts if post.limits for line in examples_of(post.limits)]
    if feeds:
        examples.append("/buffered_stream")
    lines += ["Try:", *(f"  curl -N {url}{line}" for line in dict.fromkeys(examples))]
    return "\n".join(lines) + "\n"


def examples_of(limits: Limits) -> list[str]:
    """Paths, with what to send there, that a model of this kind answers."""
    if limits.tasks:
        return ["/tasks"]
    if limits.stages:
        text = '{"text": "I love this. Anna Schmidt lives in Berlin."}'
        return [_posted("/pipeline_stream", text), _posted("/process-stream", text)]
    if limits.image:
        return [_posted("/generate_image_stream", '{"prompt": "a house with a red roof under the sun"}')]
    return [_posted("/generate_stream", '{"prompt": "Tell me a story about a fox and a lantern."}')]


def _posted(path: str, body: str) -> str:
    return f"{path} -H 'Content-Type: application/json' -d '{body}'"


async def _drain(app: web.Application, settings: Settings, leaving: asyncio.Event) -> None:
    """Let streams finish; a second signal ends them at once."""
    log.info("draining", extra={"timeout_s": settings.http.drain_timeout_s})
    leaving.clear()
    app[SOCKETS].drain()
    impatience = asyncio.create_task(leaving.wait())
    drained = asyncio.create_task(app[DISPATCHER].drain(settings.http.drain_timeout_s))
    await asyncio.wait((impatience, drained), return_when=asyncio.FIRST_COMPLETED)
    if not drained.done():
        drained.cancel()
        await app[DISPATCHER].drain(0)
    impatience.cancel()
