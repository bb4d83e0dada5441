"""Which websocket speaks for each client id: one at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from aiohttp import WSCloseCode, web

from service.errors import BadParams, Conflict
from service.sockets.connection import Connection

ClientKey = tuple[str, str]

MAX_CLIENT_ID_CHARS = 128


def read_client_id(request: web.Request) -> str:
    """The id in the path. Raises BadParams when it is too long."""
    client_id = request.match_info["client_id"]
    if len(client_id) > MAX_CLIENT_ID_CHARS:
        message = f"client_id has {len(client_id)} characters > {MAX_CLIENT_ID_CHARS}"
        raise BadParams(message, param="client_id")
    return client_id


class Clients:
    """Client ids belong to a key. `same_client` says who stays when an id connects again."""

    def __init__(self, same_client: Literal["refuse", "take_over"]) -> None:
        self._refuses = same_client == "refuse"
        self._connections: dict[ClientKey, Connection] = {}

    def require_free(self, caller: str, client_id: str) -> None:
        """Raises Conflict when the id is connected and is not to be taken over."""
        if self._refuses and (caller, client_id) in self._connections:
            message = f'client_id {client_id!r} is connected already (sockets.same_client = "refuse")'
            raise Conflict(message, code="client_connected", param="client_id")

    @contextmanager
    def hold(self, caller: str, client_id: str, connection: Connection) -> Iterator[None]:
        """The id is the connection's; whoever had it, or came at the same time and later, is sent away."""
        key = (caller, client_id)
        older = self._connections.get(key)
        if older and self._refuses:
            connection.close(WSCloseCode.POLICY_VIOLATION, "this client_id is connected already")
        else:
            self._connections[key] = connection
            if older:
                older.close(WSCloseCode.POLICY_VIOLATION, "taken over by a newer connection")
        try:
            yield
        finally:
            if self._connections.get(key) is connection:
                del self._connections[key]
