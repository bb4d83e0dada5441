"""What the application keeps, by typed key."""

from aiohttp import web

from config.settings import Settings
from service.catalogue import Catalogue
from service.chat.sessions import Sessions
from service.dispatcher import Dispatcher
from service.documents.library import Documents
from service.feeds import Feed
from service.metrics import Metrics
from service.sockets.clients import Clients
from service.sockets.registry import Sockets
from service.stores.store import Store
from service.supervisor import Supervisor
from service.turn import Turn

SETTINGS = web.AppKey("SETTINGS", Settings)
CATALOGUE = web.AppKey("CATALOGUE", Catalogue)
DISPATCHER = web.AppKey("DISPATCHER", Dispatcher)
SUPERVISOR = web.AppKey("SUPERVISOR", Supervisor)
TURN = web.AppKey("TURN", Turn)
SOCKETS = web.AppKey("SOCKETS", Sockets)
CLIENTS = web.AppKey("CLIENTS", Clients)
DOCUMENTS = web.AppKey("DOCUMENTS", Documents)
STORE = web.AppKey("STORE", Store)
SESSIONS = web.AppKey("SESSIONS", Sessions)
METRICS = web.AppKey("METRICS", Metrics)
FEEDS = web.AppKey("FEEDS", dict[str, Feed])
ROUTE_TABLE = web.AppKey("ROUTE_TABLE", list)

REQUEST_ID = web.RequestKey("REQUEST_ID", str)
CALLER = web.RequestKey("CALLER", str)
