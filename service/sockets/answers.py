"""The answers that are on their way to one websocket, each the events of a stream."""

from functools import partial

from service.errors import Conflict
from service.sockets.answer import Answer, Show
from service.sockets.connection import Connection
from service.streams import Stream


class Answers:
    """Shows them side by side, told apart by label; or `one_by_one`, each after those before it."""

    def __init__(self, connection: Connection, *, one_by_one: bool = False) -> None:
        self._connection = connection
        self._one_by_one = one_by_one
        self._running: dict[str | None, Answer] = {}

    def require_free(self, label: str | None = None) -> None:
        """Raises Conflict when an answer of that label is on its way."""
        if label in self._running:
            what = "this socket is" if label is None else f"stream_id {label!r} is"
            raise Conflict(f"{what} busy: cancel what runs, or wait for its end", code="busy")

    def start(self, stream: Stream, show: Show, label: str | None = None, after: int = 0) -> None:
        """Show the stream's events after seq `after`, to its end. Raises Expired.

        A socket that does not take them holds the stream up, as any reader does.
        """
        answer = self._running[label] = Answer(self._connection, stream, show, after)
        answer.on_end = partial(self._ended, label)
        if not self._one_by_one or len(self._running) == 1:
            answer.begin()

    def cancel(self, label: str | None = None) -> None:
        """End the stream; its ending is shown as any other. Raises Conflict when none runs."""
        if label not in self._running:
            what = "on this socket" if label is None else f"under stream_id {label!r}"
            raise Conflict(f"nothing runs {what}", code="not_running")
        self._running[label].stream.end("cancelled")

    def cancel_all(self) -> None:
        """Raises Conflict when none runs."""
        if not self._running:
            self.cancel()
        for label in tuple(self._running):
            self.cancel(label)

    def leave(self) -> None:
        """Stop showing: what nobody else reads is cancelled by that."""
        for answer in tuple(self._running.values()):
            answer.end()

    def _ended(self, label: str | None) -> None:
        del self._running[label]
        if self._one_by_one and self._running:
            next(iter(self._running.values())).begin()
