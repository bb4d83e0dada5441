"""The application: its parts, made once and put together. startup -> serve -> drain -> stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from config.settings import Settings
from service.catalogue import Catalogue
from service.chat.room import CHATS, ChatRoom
from service.chat.sessions import Sessions
from service.dispatcher import Dispatcher
from service.documents.library import Documents
from service.feed_sources import make_source
from service.feeds import Feed
from service.keys import (
    CATALOGUE,
    CLIENTS,
    DISPATCHER,
    DOCUMENTS,
    FEEDS,
    METRICS,
    SESSIONS,
    SETTINGS,
    SOCKETS,
    STORE,
    SUPERVISOR,
    TURN,
)
from service.metrics import Metrics
from service.middlewares import GATE, Gate, add_headers, answer_errors, authorise, identify
from service.routes import ROUTES, add_routes
from service.sockets.clients import Clients
from service.sockets.registry import Sockets
from service.sockets.room import Rooms
from service.stores.kinds import make_store
from service.supervisor import Supervisor
from service.turn import Turn

SWEEP_S = 1.0


def make_app(settings: Settings) -> web.Application:
    """Build the application. Workers start with it; call inside a running event loop."""
    app = web.Application(
        middlewares=[identify, answer_errors, authorise],
        client_max_size=settings.http.max_body_bytes,
    )
    supervisor, catalogue = Supervisor(settings), Catalogue(settings.streams)
    sockets = Sockets(settings.sockets, settings.http.cors_origins)
    store = make_store(settings.store)
    metrics = Metrics(catalogue, supervisor, sockets, store)
    app[SETTINGS] = settings
    app[SUPERVISOR] = supervisor
    app[CATALOGUE] = catalogue
    app[METRICS] = metrics
    app[TURN] = Turn()
    app[DISPATCHER] = Dispatcher(settings, supervisor, catalogue, metrics, app[TURN])
    app[FEEDS] = metrics.feeds = _feeds(settings, metrics, app[DISPATCHER])
    app[SOCKETS] = sockets
    app[CLIENTS] = Clients(settings.sockets.same_client)
    app[STORE] = store
    app[SESSIONS] = Sessions(settings.chat, store)
    app[DOCUMENTS] = metrics.documents = Documents(settings.documents, store)
    app[CHATS] = Rooms(ChatRoom)
    app[GATE] = Gate(settings.auth.keys, frozenset(route.path for route in ROUTES if route.is_open))
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_close_sockets)
    app.cleanup_ctx.append(_storing)
    app.cleanup_ctx.append(_workers)
    app.cleanup_ctx.append(_sweeping)
    add_routes(app)
    return app


def _feeds(settings: Settings, metrics: Metrics, dispatcher: Dispatcher) -> dict[str, Feed]:
    return {
        name: Feed(name, settings.feeds, make_source(kind, settings.feeds, metrics), dispatcher.take)
        for name, kind in settings.feeds.names.items()
    }


async def _close_sockets(app: web.Application) -> None:
    await app[SOCKETS].close()


async def _storing(app: web.Application) -> AsyncIterator[None]:
    """First of all: a store that will not open stops the start before a worker loads anything."""
    await app[STORE].start()
    yield
    await app[SESSIONS].settle()
    await app[DOCUMENTS].settle()
    await app[STORE].close()


async def _workers(app: web.Application) -> AsyncIterator[None]:
    app[SUPERVISOR].start()
    yield
    await app[SUPERVISOR].stop()


async def _sweeping(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.get_running_loop().create_task(_sweep(app))
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _sweep(app: web.Application) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        app[CATALOGUE].sweep()
        app[METRICS].sample()
        app[SOCKETS].check()
