"""The answers that are on their way to one websocket, each the events of a stream."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import NamedTuple

from service.collect import events_of
from service.errors import Conflict
from service.events import StreamEvent
from service.reader import Reader
from service.sockets.connection import Connection
from service.streams import Stream

# Sends one event, with its seq; None for an ending that is this reader's alone.
Show = Callable[[int | None, StreamEvent], None]


class Answer(NamedTuple):
    reader: Reader
    task: asyncio.Task[None]


class Answers:
    """Runs them side by side, told apart by label; or `one_by_one`, each shown after those before it."""

    def __init__(self, connection: Connection, *, one_by_one: bool = False) -> None:
        self._connection = connection
        self._turn = asyncio.Lock() if one_by_one else nullcontext()
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
        reader = stream.attach(after)
        task = asyncio.get_running_loop().create_task(self._show(reader, show))
        self._running[label] = Answer(reader, task)
        task.add_done_callback(partial(self._ended, label))

    def cancel(self, label: str | None = None) -> None:
        """End the stream; its ending is shown as any other. Raises Conflict when none runs."""
        if label not in self._running:
            what = "on this socket" if label is None else f"under stream_id {label!r}"
            raise Conflict(f"nothing runs {what}", code="not_running")
        self._running[label].reader.stream.end("cancelled")

    def cancel_all(self) -> None:
        """Raises Conflict when none runs."""
        if not self._running:
            self.cancel()
        for label in tuple(self._running):
            self.cancel(label)

    async def leave(self) -> None:
        """Stop showing: what nobody else reads is cancelled by that."""
        tasks = [answer.task for answer in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _show(self, reader: Reader, show: Show) -> None:
        with self._connection.working(), suppress(ConnectionError):
            async with self._turn:
                async for seq, event in events_of(reader):
                    show(seq, event)
                    await self._connection.room()

    def _ended(self, label: str | None, task: asyncio.Task[None]) -> None:
        reader = self._running.pop(label).reader
        reader.stream.detach(reader)
        if not task.cancelled() and (error := task.exception()):
            reader.stream.end("error")
            task.get_loop().call_exception_handler({"message": "answer failed", "exception": error})
