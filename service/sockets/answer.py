"""One answer on its way to a websocket: the events of a stream, shown as the socket has room."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from service.events import StreamEvent
from service.sockets.connection import Connection
from service.streams import Stream

log = logging.getLogger(__name__)

# Sends one event, with its seq; None for an ending that is this reader's alone.
Show = Callable[[int | None, StreamEvent], None]


class Answer:
    """Shows the stream's events after seq `after`, from `begin` to the stream's end, then calls `on_end`.

    No task is woken for an event: one runs only while the socket has no room. Raises Expired.
    """

    def __init__(self, connection: Connection, stream: Stream, show: Show, after: int) -> None:
        self.stream = stream
        self.on_end: Callable[[], None] = lambda: None
        self._connection = connection
        self._show = show
        self._reader = stream.attach(after, self._advance)
        self._events: deque[tuple[int | None, StreamEvent]] = deque()
        self._is_begun = self._is_over = False
        self._task: asyncio.Task[None] | None = None
        connection.begin_work()

    def begin(self) -> None:
        """Show from now on; nothing at once."""
        self._is_begun = True
        asyncio.get_running_loop().call_soon(self._advance)

    def end(self) -> None:
        """Show no more: a stream that nobody else reads is cancelled by that."""
        if self._is_over:
            return
        self._is_over = True
        if self._task:
            self._task.cancel()
        self.stream.detach(self._reader)
        # A thousand answers that were left to the garbage collector stopped everyone for 100 ms.
        self._reader.on_wake = None
        self._connection.end_work()
        self.on_end()

    def _advance(self) -> None:
        if not self._is_begun or self._is_over or self._task:
            return
        try:
            self._show_events()
        except Exception:
            log.exception("answer failed", extra={"stream": self.stream.id})
            self.stream.end("error")
            self.end()

    def _show_events(self) -> None:
        """Show what there is; where room ends, a task waits for more. Who is dropped is told so."""
        while self._events or self._take():
            if not self._connection.has_room:
                self._task = asyncio.get_running_loop().create_task(self._wait_for_room())
                return
            self._show(*self._events.popleft())
        if self._reader.is_at_end:
            if self._reader.is_dropped:
                self._show(None, self.stream.ending("slow_client"))
            self.end()

    def _take(self) -> bool:
        self._events.extend(self._reader.take())
        return bool(self._events)

    async def _wait_for_room(self) -> None:
        await self._connection.room()
        self._task = None
        self._advance()
        # Perhaps the job was held up for this reader alone.
        self.stream.check_pressure()
