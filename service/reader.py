"""One reader of a stream: a place in its log, and how far that is behind."""

import asyncio
from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import structs

from service.events import StreamEvent, join
from workers.messages import ImageStep, Progress, TextDelta

if TYPE_CHECKING:
    from service.event_log import Entry
    from service.streams import Stream


class Reader:
    """Takes a stream's events at its own pace; `wake` is called when there are new ones."""

    def __init__(self, stream: "Stream", position: int, on_wake: Callable[[], None] | None) -> None:
        self.stream = stream
        self.position = position
        self.is_dropped = False
        self.read_bytes = stream.log.bytes_through(position)
        self.on_wake = on_wake
        self._signal = asyncio.Event()
        # How often it was woken since it last took: more than once means that it did not keep up.
        self._num_wakes = 0
        self._stall_timer: asyncio.TimerHandle | None = None

    @property
    def unread_bytes(self) -> int:
        return self.stream.log.num_bytes - self.read_bytes

    @property
    def is_at_end(self) -> bool:
        """Whether there will be nothing more to take."""
        return self.is_dropped or (self.stream.terminal is not None and self.position >= self.stream.log.seq)

    def wake(self) -> None:
        self._num_wakes += 1
        self._signal.set()
        if self.on_wake:
            self.on_wake()

    async def wait_accepted(self) -> None:
        """Return when the job has been accepted by its engine, or has ended."""
        while not (self.stream.is_accepted or self.stream.terminal):
            self._signal.clear()
            await self._signal.wait()

    async def wait(self) -> None:
        """Return when there is something to take, or will never be."""
        while self.position >= self.stream.log.seq and not self.is_at_end:
            self._signal.clear()
            await self._signal.wait()

    def take(self) -> list[tuple[int, StreamEvent]]:
        """Return all unread events with their seq; joined, if this reader has fallen behind."""
        if self.is_dropped or self.position >= self.stream.log.seq:
            return []
        settings, unread = self.stream.settings, self.unread_bytes
        is_behind = self._num_wakes > 1 and unread > settings.join_unread_bytes
        self._num_wakes = 0
        entries = self.stream.log.after(self.position)
        self.position, self.read_bytes = self.stream.log.seq, self.stream.log.num_bytes
        self.stream.note_take()
        events = _joined(entries) if is_behind else [(entry.seq, entry.event) for entry in entries]
        # Joined text loses nothing, previews are lost: one or two are no backlog yet.
        return _thinned(events) if is_behind and unread > settings.low_unread_bytes else events

    def check_stall(self) -> None:
        """Start the clock when too far behind, stop it when caught up; drop if events were lost."""
        if self.is_dropped:
            return
        if self.position + 1 < self.stream.log.first_seq:
            self.drop()
            return
        unread = self.unread_bytes
        if unread > self.stream.settings.max_unread_bytes and not self._stall_timer:
            delay_s = self.stream.settings.stall_timeout_s
            stalled = self.stream.reader_stalled
            self._stall_timer = asyncio.get_running_loop().call_later(delay_s, stalled, self)
        elif unread < self.stream.settings.low_unread_bytes:
            self.stop_stall_timer()

    def stop_stall_timer(self) -> None:
        if self._stall_timer:
            self._stall_timer.cancel()
            self._stall_timer = None

    def drop(self) -> None:
        """Take nothing more: what would follow is lost to this reader, or he is too slow for it.

        The stream counts him as gone at once: his socket may stay full until its write timeout.
        """
        if not self.is_dropped:
            self.is_dropped = True
            self.stream.detach(self)
            self.wake()


def _joined(entries: "list[Entry]") -> list[tuple[int, StreamEvent]]:
    """Join each run of one choice's text deltas under the seq of its last; of progress keep the newest.

    Never across other events: a reader that comes back after a seq must have had all before it and
    nothing after it. Each run is joined once: joining on every push would be quadratic.
    """
    newest = max((entry.seq for entry in entries if isinstance(entry.event, Progress)), default=0)
    kept = [entry for entry in entries if entry.seq == newest or not isinstance(entry.event, Progress)]
    result: list[tuple[int, StreamEvent]] = []
    for index, group in groupby(kept, key=_choice_of):
        run = list(group)
        if index is None:
            result += [(entry.seq, entry.event) for entry in run]
        else:
            deltas = [entry.event for entry in run if isinstance(entry.event, TextDelta)]
            result.append((run[-1].seq, join(deltas)))
    return result


def _thinned(events: list[tuple[int, StreamEvent]]) -> list[tuple[int, StreamEvent]]:
    """Every step of an image, but only the newest previews."""
    newest = max((seq for seq, event in events if isinstance(event, ImageStep) and event.previews), default=0)
    return [(seq, event if seq == newest else _without_previews(event)) for seq, event in events]


def _without_previews(event: StreamEvent) -> StreamEvent:
    return structs.replace(event, previews=[]) if isinstance(event, ImageStep) else event


def _choice_of(entry: "Entry") -> int | None:
    return entry.event.index if isinstance(entry.event, TextDelta) else None
