"""All streams by id: the open ones, and for a while the finished."""

import asyncio
import time
from collections import OrderedDict

from config.settings import StreamSettings
from service.errors import Expired, NotFound
from service.streams import Stream


class Catalogue:
    """Finds streams for their own key, counts them, and forgets finished ones in time."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._open: dict[str, Stream] = {}
        self._finished: OrderedDict[str, tuple[float, Stream]] = OrderedDict()
        # Id -> key of those forgotten last: their owners are told that they come too late.
        self._expired: OrderedDict[str, str] = OrderedDict()
        self._num_of_key: dict[str, int] = {}
        self._emptied = asyncio.Event()

    def add(self, stream: Stream) -> None:
        self._open[stream.id] = stream
        self._num_of_key[stream.job.key] = self.num_open(stream.job.key) + 1
        stream.on_end.append(self._finish)

    def get(self, stream_id: str, key: str) -> Stream:
        """The stream of that id. Raises NotFound, also when it is another key's; Expired when forgotten."""
        stream = self._open.get(stream_id) or self._finished.get(stream_id, (0.0, None))[1]
        if self._expired.get(stream_id) == key:
            message = f"stream {stream_id} ended more than {self._settings.retention_s} s ago"
            raise Expired(f"{message} (streams.retention_s)", code="stream_expired")
        if stream is None or stream.job.key != key:
            raise NotFound(f"stream {stream_id[:64]!r} is unknown or no longer kept", code="stream_not_found")
        return stream

    def of_key(self, key: str) -> list[Stream]:
        """The key's own streams, open ones first."""
        streams = [*self._open.values(), *(stream for _, stream in self._finished.values())]
        return [stream for stream in streams if stream.job.key == key]

    def num_open(self, key: str) -> int:
        return self._num_of_key.get(key, 0)

    def open_streams(self) -> list[Stream]:
        return list(self._open.values())

    async def wait_empty(self) -> None:
        """Return when no stream is open."""
        while self._open:
            self._emptied.clear()
            await self._emptied.wait()

    def log_bytes(self) -> int:
        """Bytes of all logs together."""
        finished = sum(stream.log.kept_bytes for _, stream in self._finished.values())
        return finished + sum(stream.log.kept_bytes for stream in self._open.values())

    def sweep(self) -> None:
        """Forget what has been kept long enough, and the oldest logs when all take too much."""
        horizon = time.monotonic() - self._settings.retention_s
        while self._finished:
            finished_at, _ = next(iter(self._finished.values()))
            if finished_at > horizon:
                break
            self._expire()
        self._shed()

    def _expire(self) -> None:
        """Forget the stream that finished first, but for its id."""
        stream_id, (_, stream) = self._finished.popitem(last=False)
        stream.forget()
        self._expired[stream_id] = stream.job.key
        if len(self._expired) > self._settings.max_finished:
            self._expired.popitem(last=False)

    def _shed(self) -> None:
        excess = self.log_bytes() - self._settings.max_total_log_bytes
        for _, stream in self._finished.values():
            if excess <= 0:
                return
            excess -= stream.log.kept_bytes
            stream.forget()

    def _finish(self, stream: Stream) -> None:
        del self._open[stream.id]
        if not self._open:
            self._emptied.set()
        self._finished[stream.id] = (time.monotonic(), stream)
        num_left = self.num_open(stream.job.key) - 1
        self._num_of_key[stream.job.key] = num_left
        if not num_left:
            del self._num_of_key[stream.job.key]
        if len(self._finished) > self._settings.max_finished:
            self._expire()
