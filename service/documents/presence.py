"""Who is in a document through Yjs, and where their cursors stand: y-protocols' awareness."""

import json
from typing import Any

from pycrdt import Awareness, Doc

from service.documents.yjs_wire import Reader
from service.errors import BadParams

# States that one socket may bring: its own, and those of other tabs of its browser.
MAX_STATES = 64
# Clients remembered after they left, so that old news of them is known as such.
MAX_KNOWN = 1_024
MAX_STATE_BYTES = 16_384


class Presence:
    """The states of all clients, each owned by the socket that told it last; it goes with that socket."""

    def __init__(self) -> None:
        self._awareness = Awareness(Doc())
        # This side is nobody.
        self._awareness.set_local_state(None)
        self._awareness.meta.clear()
        self._changed: list[int] = []
        self._owners: dict[int, str] = {}
        self._awareness.observe(self._note)

    def __len__(self) -> int:
        return len(self._owners)

    @property
    def num_known(self) -> int:
        """Clients remembered, with those who have left."""
        return len(self._awareness.meta)

    def merge(self, update: bytes, owner: str) -> bytes:
        """Take what a socket tells. Returns the update for the others, empty when it was no news.

        Raises BadParams when it cannot be read or is too much; then nothing has changed.
        """
        clients = _read(update)
        owned = {client for client, known in self._owners.items() if known == owner}
        if len(owned | clients) > MAX_STATES and not clients <= self._owners.keys():
            message = f"{len(owned | clients)} awareness states of one socket > {MAX_STATES}"
            raise BadParams(message, param="awareness", code="too_many_states")
        self._awareness.apply_awareness_update(update, owner)
        return self._tell(owner)

    def leave(self, owner: str) -> bytes:
        """The socket's states go. Returns the update for the others, empty when it had none."""
        owned = [client for client, known in self._owners.items() if known == owner]
        self._awareness.remove_awareness_states(owned, owner)
        return self._tell(owner)

    def everyone(self) -> bytes:
        """The update that tells of all; empty when there is nobody."""
        clients = list(self._awareness.states)
        return self._awareness.encode_awareness_update(clients) if clients else b""

    def _note(self, topic: str, change: tuple[dict[str, Any], Any]) -> None:
        if topic == "update":
            self._changed = [client for clients in change[0].values() for client in clients]

    def _tell(self, owner: str) -> bytes:
        changed, self._changed = self._changed, []
        for client in changed:
            if client in self._awareness.states:
                self._owners[client] = owner
            else:
                self._owners.pop(client, None)
        update = self._awareness.encode_awareness_update(changed) if changed else b""
        self._forget()
        return update

    def _forget(self) -> None:
        meta = self._awareness.meta
        if len(meta) > len(self._owners) + MAX_KNOWN:
            for client in meta.keys() - self._owners.keys():
                del meta[client]


def _read(update: bytes) -> set[int]:
    """The clients that an awareness update tells of. Raises BadParams unless all of it can be read."""
    reader = Reader(update, "awareness")
    clients = set()
    for _ in range(reader.number()):
        clients.add(reader.number())
        reader.number()
        state = reader.bytes()
        if len(state) > MAX_STATE_BYTES:
            raise reader.refuse(f"a state of {len(state)} bytes > {MAX_STATE_BYTES}")
        try:
            is_state = isinstance(json.loads(state), dict | None)
        except (ValueError, RecursionError):
            is_state = False
        if not is_state:
            raise reader.refuse("a state is neither a JSON object nor null")
    return clients
