"""What operators see: counters and histograms fed as events pass, gauges read when asked."""

import asyncio
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.catalogue import Catalogue
from service.events import reason_of
from service.feeds import Feed
from service.gauges import (
    feed_gauges,
    labelled_counter,
    socket_gauges,
    store_gauges,
    stream_gauges,
    worker_gauges,
)
from service.histogram import Histogram
from service.memory import resident_bytes
from service.sockets.registry import Sockets
from service.stores.store import Store
from service.streams import Stream
from service.supervisor import Supervisor
from workers.messages import Images, ImageStep, Item, StageResult, StageStarted, Started, TextDelta

# What is counted per model.
MADE = {
    "tokens": "Tokens generated.",
    "items": "Items of tasks.",
    "stages": "Stages done.",
    "image_steps": "Denoising steps of images.",
    "images": "Images done.",
}
# A job's results, other than text.
Result = Item | StageStarted | StageResult | ImageStep | Images

NUM_DURATIONS = 256
# Samples of the tokens so far, a second apart: what a rate is taken over.
NUM_SAMPLES = 5


class Metrics(Collector):
    """Takes in the dispatcher's events; `/metrics` reads it in either form, a feed its live figures.

    `on_ended` are told of each stream that ends.
    """

    def __init__(self, catalogue: Catalogue, supervisor: Supervisor, sockets: Sockets, store: Store) -> None:
        self._catalogue = catalogue
        self._supervisor = supervisor
        self._sockets = sockets
        self._store = store
        self._ttft = Histogram()
        self._itl = Histogram()
        self._queue_time = Histogram()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._made: dict[str, Counter[str]] = {kind: Counter() for kind in MADE}
        self._num_tokens = self._made["tokens"]
        self._num_streams = 0
        self._durations: deque[float] = deque(maxlen=NUM_DURATIONS)
        self._samples: deque[tuple[float, int]] = deque(maxlen=NUM_SAMPLES)
        self.on_ended: list[Callable[[Stream], None]] = []
        self.feeds: Mapping[str, Feed] = {}
        self.documents: Sized = ()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    # Fed

    def opened(self) -> None:
        self._num_streams += 1

    def started(self, stream: Stream, _event: Started) -> None:
        self._queue_time.observe(time.monotonic() - stream.opened_at)

    def token(self, stream: Stream, delta: TextDelta, now: float) -> None:
        """`now` is when the batch arrived, in seconds of the monotonic clock."""
        last = stream.last_event_at
        if stream.job.work.unit != "tokens":
            # The text of one stage among others: its tokens are counted at its end.
            stream.last_event_at = now
            return
        if last:
            self._itl.observe(now - last)
        else:
            self._ttft.observe(now - stream.opened_at)
        stream.last_event_at = now
        self._num_tokens[stream.job.model] += len(delta.token_ids)

    def result(self, stream: Stream, event: Result, now: float) -> None:
        """The pace of a task, a stage or an image is its own affair: counted, not timed beside the tokens."""
        stream.last_event_at = now
        model, made = stream.job.model, self._made
        match event:
            case Item():
                made["items"][model] += 1
            case ImageStep():
                made["image_steps"][model] += 1
            case Images():
                made["images"][model] += len(event.images)
            case StageResult():
                made["stages"][model] += 1
                if event.num_tokens:
                    self._num_tokens[model] += event.num_tokens

    def ended(self, stream: Stream) -> None:
        if stream.terminal:
            self._reasons[stream.job.model, reason_of(stream.terminal)] += 1
        if not stream.job.is_endless:
            self._durations.append(time.monotonic() - stream.opened_at)
        for tell in tuple(self.on_ended):
            tell(stream)

    def sample(self) -> None:
        """Note the tokens so far. Called every second."""
        self._samples.append((time.monotonic(), self._num_tokens.total()))

    # Read

    @property
    def avg_duration_s(self) -> float:
        """Mean duration of the last streams that ended, seconds; 0 before the first has."""
        return sum(self._durations) / len(self._durations) if self._durations else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Tokens of all models a second, over the last few seconds."""
        if not self._samples:
            return 0.0
        began_at, num_before = self._samples[0]
        duration_s = time.monotonic() - began_at
        return (self._num_tokens.total() - num_before) / duration_s if duration_s else 0.0

    def figures(self) -> dict[str, Any]:
        """The live figures: a few numbers however many streams there are. Bytes of memory where the
        system tells them.
        """
        states = Counter(stream.state for stream in self._catalogue.open_streams())
        return {
            "active_streams": states.total(),
            "waiting_streams": states["waiting"],
            "paused_streams": states["paused"],
            "total_streams": self._num_streams,
            "tokens": self._num_tokens.total(),
            "tokens_per_s": round(self.tokens_per_s, 1),
            "log_bytes": self._catalogue.log_bytes(),
            "open_sockets": len(self._sockets),
            "memory_bytes": resident_bytes(os.getpid()),
            "workers": [_worker_figures(worker) for worker in self._supervisor.summary()],
        }

    def text(self, accept: str) -> tuple[bytes, str]:
        """The Prometheus or OpenMetrics text that `Accept` names, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def summary(self) -> dict[str, Any]:
        """The JSON form."""
        streams = self._catalogue.open_streams()
        return {
            "active_streams": len(streams),
            "total_streams": self._num_streams,
            "avg_duration": round(self.avg_duration_s, 4),
            "current_streams": [stream.summary() for stream in streams],
            "paused_streams": sum(stream.is_paused for stream in streams),
            "unread_bytes": sum(stream.unread_bytes for stream in streams),
            "log_bytes": self._catalogue.log_bytes(),
            "open_sockets": len(self._sockets),
            "sockets": self._sockets.summary(),
            "num_tasks": len(asyncio.all_tasks()),
            **{kind: dict(of_model) for kind, of_model in self._made.items()},
            "ended": dict(self._endings()),
            "store": self._store.figures()._asdict(),
            "open_documents": len(self.documents),
            "feeds": {name: feed.summary() for name, feed in self.feeds.items()},
            "workers": self._supervisor.summary(),
        }

    def _endings(self) -> Iterator[tuple[str, int]]:
        totals: Counter[str] = Counter()
        for (_, reason), count in self._reasons.items():
            totals[reason] += count
        yield from totals.items()

    def collect(self) -> Iterable[Metric]:
        yield self._ttft.family("sluice_time_to_first_token_seconds", "From the request to its first token.")
        yield self._itl.family("sluice_inter_token_latency_seconds", "Between a stream's token events.")
        yield self._queue_time.family(
            "sluice_queue_time_seconds", "From the request to its first engine step."
        )
        yield self._counters()
        for kind, text in MADE.items():
            counts = {(model,): count for model, count in self._made[kind].items()}
            yield labelled_counter(f"sluice_{kind}", text, ["model"], counts)
        yield labelled_counter(
            "sluice_streams_ended", "By model and reason.", ["model", "reason"], self._reasons
        )
        yield from stream_gauges(self._catalogue)
        yield from socket_gauges(self._sockets)
        yield from store_gauges(self._store)
        yield from feed_gauges(self.feeds)
        yield GaugeMetricFamily("sluice_open_documents", "Documents open now.", value=len(self.documents))
        yield from worker_gauges(self._supervisor)

    def _counters(self) -> Metric:
        return CounterMetricFamily("sluice_streams", "Streams opened.", value=self._num_streams)


def _worker_figures(worker: dict[str, Any]) -> dict[str, Any]:
    stats = worker["stats"]
    return {
        "model": worker["model"],
        "index": worker["index"],
        "state": worker["state"],
        "jobs": worker["jobs"],
        "running": stats.get("num_running", 0),
        "waiting": stats.get("num_waiting", 0),
        "memory_bytes": resident_bytes(worker["pid"]),
    }
