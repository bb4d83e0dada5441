"""What feeds are made of: the service's own figures, and the streams that end."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config.settings import FeedSettings
from service.events import reason_of
from service.streams import Stream

if TYPE_CHECKING:
    from service.metrics import Metrics

log = logging.getLogger(__name__)

Put = Callable[[Any], None]


class Source(ABC):
    """Calls `put` with each new piece of data (what msgspec can encode), between `start` and `stop`."""

    @abstractmethod
    def start(self, put: Put) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...


class Figures(Source):
    """The figures that `look` returns, each `interval_s`. One that raises is logged and left out."""

    def __init__(self, look: Callable[[], Any], interval_s: float) -> None:
        self._look = look
        self._interval_s = interval_s
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, put: Put) -> None:
        """Begin at once, but never sooner than the interval allows: readers may come and go quickly."""
        self._due = max(self._due, asyncio.get_running_loop().time())
        self._wait(put)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _wait(self, put: Put) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._due, self._tick, put)

    def _tick(self, put: Put) -> None:
        # From now, not from when it was due: a loop that was busy owes nobody old figures.
        self._due = asyncio.get_running_loop().time() + self._interval_s
        self._wait(put)
        try:
            data = self._look()
        except Exception:
            log.exception("feed failed")
        else:
            put(data)


class Endings(Source):
    """Each stream that ends: its route, model, reason, age and what it made; nothing of whose it was."""

    def __init__(self, listeners: list[Callable[[Stream], None]]) -> None:
        self._listeners = listeners

    def start(self, put: Put) -> None:
        self._listen = lambda stream: put(_ending(stream))
        self._listeners.append(self._listen)

    def stop(self) -> None:
        self._listeners.remove(self._listen)


def make_source(kind: str, settings: FeedSettings, metrics: "Metrics") -> Source:
    """The source that the settings name."""
    if kind == "endings":
        return Endings(metrics.on_ended)
    return Figures(metrics.figures, settings.interval_s)


def _ending(stream: Stream) -> dict[str, Any]:
    facts = {name: value for name, value in stream.summary().items() if name not in ("id", "state")}
    return facts | {"reason": reason_of(stream.terminal)} if stream.terminal else facts
