"""Live feeds: each made once for all its readers, and only while it has some.

To the dispatcher a feed stands where a worker stands: it takes jobs and commands, and gives back
event batches. So every reader has a stream of his own, as any other: numbered, resumable, paused or
dropped when he is too slow, without the others.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from msgspec import json

from config.settings import FeedSettings
from service.events import Silence
from service.feed_sources import Source
from service.streams import Stream
from workers.messages import (
    Accepted,
    Cancel,
    Command,
    Event,
    EventBatch,
    Item,
    JobId,
    Pause,
    Resume,
    Started,
    Submit,
)


class Follower:
    """How far one reader is: the counter of the last item given to him, and when he last heard."""

    def __init__(self, stream: Stream, now: float) -> None:
        self.stream = stream
        self.counter = 0
        self.heard_at = now
        self.is_paused = False
        self.timer: asyncio.TimerHandle | None = None


class Feed:
    """A source's items, numbered by `counter` from 1; the last `buffer_items` are kept.

    Who comes late gets the kept ones first. Who was paused for being slow goes on with what is still
    kept: a gap in the counters tells him what he has missed.
    """

    def __init__(
        self,
        name: str,
        settings: FeedSettings,
        source: Source,
        on_batch: Callable[["Feed", EventBatch], None],
    ) -> None:
        self.name = name
        self.jobs: dict[JobId, Stream] = {}
        self.num_items = 0
        self.is_running = False
        self._timeout_s = settings.timeout_s
        self._source = source
        self._on_batch = on_batch
        self._items: deque[bytes] = deque(maxlen=settings.buffer_items)
        self._followers: dict[JobId, Follower] = {}

    def summary(self) -> dict[str, Any]:
        """What `/metrics` says of it."""
        return {
            "readers": len(self._followers),
            "running": self.is_running,
            "items": self.num_items,
            "buffered_items": len(self._items),
        }

    # In a worker's place

    def submit(self, stream: Stream, command: Submit) -> None:
        """Begin at the next turn of the loop: the stream is not yet known to all."""
        self.jobs[command.job_id] = stream
        asyncio.get_running_loop().call_soon(self._begin, command.job_id)

    def cancel(self, command: Cancel) -> None:
        """The reader has gone; with the last of them the source stops."""
        self.jobs.pop(command.job_id, None)
        follower = self._followers.pop(command.job_id, None)
        if follower and follower.timer:
            follower.timer.cancel()
        if self.is_running and not self._followers:
            self.is_running = False
            self._source.stop()

    def send(self, command: Command) -> None:
        match command:
            case Pause(job_id) if job_id in self._followers:
                self._followers[job_id].is_paused = True
            case Resume(job_id) if job_id in self._followers:
                self._followers[job_id].is_paused = False
                self._tell(self._news(job_id))

    # Items

    def put(self, data: Any) -> None:
        """Make an item of `data`, keep it, give it to every reader who keeps up."""
        self.num_items += 1
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._items.append(json.encode({"timestamp": timestamp, "counter": self.num_items, "data": data}))
        self._tell([event for job_id in self._followers for event in self._news(job_id)])

    def _begin(self, job_id: JobId) -> None:
        if job_id not in self.jobs:
            return
        now = asyncio.get_running_loop().time()
        follower = self._followers[job_id] = Follower(self.jobs[job_id], now)
        self._tell([Accepted(job_id, 0), Started(job_id), *self._news(job_id)])
        self._watch(job_id, follower)
        if not self.is_running:
            self.is_running = True
            self._source.start(self.put)

    def _news(self, job_id: JobId) -> list[Event]:
        """The kept items that the reader has not had; none while he is paused."""
        follower, num_kept = self._followers[job_id], len(self._items)
        num_new = min(self.num_items - follower.counter, num_kept)
        if follower.is_paused or not num_new:
            return []
        follower.counter = self.num_items
        follower.heard_at = asyncio.get_running_loop().time()
        return [Item(job_id, value) for value in islice(self._items, num_kept - num_new, None)]

    def _tell(self, events: list[Event]) -> None:
        if events:
            self._on_batch(self, EventBatch(events))

    # Silence

    def _watch(self, job_id: JobId, follower: Follower) -> None:
        """Look again when the reader would have heard nothing for too long.

        Moving the timer for each item would cost more than the item.
        """
        due = follower.heard_at + self._timeout_s
        follower.timer = asyncio.get_running_loop().call_at(due, self._listen, job_id, follower)

    def _listen(self, job_id: JobId, follower: Follower) -> None:
        now = asyncio.get_running_loop().time()
        if now - follower.heard_at >= self._timeout_s:
            follower.heard_at = now
            if not follower.is_paused:
                follower.stream.push(Silence(job_id, self._timeout_s))
                follower.stream.notify()
        self._watch(job_id, follower)
