"""What is read when Prometheus asks: streams, feeds and workers as they are now."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from service.catalogue import Catalogue
from service.feeds import Feed
from service.sockets.registry import Sockets
from service.stores.store import Store
from service.supervisor import Supervisor


def stream_gauges(catalogue: Catalogue) -> Iterator[Metric]:
    streams = catalogue.open_streams()
    yield GaugeMetricFamily("sluice_active_streams", "Streams open now.", value=len(streams))
    paused = sum(stream.is_paused for stream in streams)
    yield GaugeMetricFamily("sluice_paused_jobs", "Jobs paused for their readers.", value=paused)
    unread = sum(stream.unread_bytes for stream in streams)
    yield GaugeMetricFamily("sluice_unread_bytes", "Bytes of events not yet read.", value=unread)
    yield GaugeMetricFamily("sluice_log_bytes", "Bytes of all logs.", value=catalogue.log_bytes())


def socket_gauges(sockets: Sockets) -> Iterator[Metric]:
    counts = sockets.counts
    num_tasks = len(asyncio.all_tasks())
    yield GaugeMetricFamily("sluice_tasks", "Tasks of the service's event loop.", value=num_tasks)
    family = GaugeMetricFamily("sluice_open_sockets", "Websockets open now.", labels=["route"])
    for route, of_route in counts.items():
        family.add_metric([route], of_route.num_open)
    yield family
    unsent = sockets.num_unsent_bytes
    yield GaugeMetricFamily("sluice_socket_unsent_bytes", "Bytes that wait for websockets.", value=unsent)
    for name, text in (
        ("opened", "Websockets opened."),
        ("received", "Frames that clients sent on websockets."),
        ("sent", "Frames sent on websockets."),
        ("throttled", "Times that a websocket's messages came too fast."),
        ("superseded", "Messages that a newer one replaced before they were sent."),
    ):
        values = {(route,): getattr(of_route, f"num_{name}") for route, of_route in counts.items()}
        yield labelled_counter(f"sluice_sockets_{name}", text, ["route"], values)
    dropped = {(route, why): n for route, of_route in counts.items() for why, n in of_route.dropped.items()}
    yield labelled_counter("sluice_sockets_dropped", "By route and reason.", ["route", "reason"], dropped)


def store_gauges(store: Store) -> Iterator[Metric]:
    figures = store.figures()
    for name, text, value in (
        ("entries", "Values that the store keeps.", figures.num_entries),
        ("bytes", "Bytes of all values that the store keeps.", figures.num_bytes),
        ("unsaved_bytes", "Bytes noted and not yet written.", figures.num_unsaved_bytes),
    ):
        yield GaugeMetricFamily(f"sluice_store_{name}", text, value=value)


def feed_gauges(feeds: Mapping[str, Feed]) -> Iterator[Metric]:
    for key, text in (("readers", "Readers of a feed."), ("buffered_items", "Items that a feed keeps.")):
        family = GaugeMetricFamily(f"sluice_feed_{key}", text, labels=["feed"])
        for name, feed in feeds.items():
            family.add_metric([name], feed.summary()[key])
        yield family


def worker_gauges(supervisor: Supervisor) -> Iterator[Metric]:
    labels, workers = ["model", "worker"], supervisor.summary()
    for name, text, value_of in (
        ("sluice_worker_up", "1 while the worker is ready.", lambda w: int(w["state"] == "ready")),
        ("sluice_worker_jobs", "Jobs on the worker.", lambda w: w["jobs"]),
        ("sluice_worker_unsent_bytes", "Commands waiting for the pipe.", lambda w: w["unsent_bytes"]),
        ("sluice_running_sequences", "Sequences in the batch.", lambda w: w["stats"]["num_running"]),
        ("sluice_waiting_sequences", "Sequences waiting for the batch.", lambda w: w["stats"]["num_waiting"]),
        (
            "sluice_cache_usage_ratio",
            "Used share of the key-value cache.",
            lambda w: w["stats"]["cache_usage"],
        ),
    ):
        family = GaugeMetricFamily(name, text, labels=labels)
        for worker in workers:
            family.add_metric([worker["model"], str(worker["index"])], value_of(worker))
        yield family
    for name, text, key in (
        ("shared_prompt", "Tokens of prompts that were found in the cache.", "shared"),
        ("drafted", "Tokens guessed from a text's own repetitions.", "drafted"),
        ("accepted_draft", "Tokens that were guessed right.", "accepted"),
    ):
        counts = {(w["model"], str(w["index"])): w["stats"][f"num_{key}_tokens"] for w in workers}
        yield labelled_counter(f"sluice_{name}_tokens", text, labels, counts)
    restarts = {(w["model"], str(w["index"])): w["restarts"] for w in workers}
    yield labelled_counter("sluice_worker_restarts", "Times a worker was replaced.", labels, restarts)


def labelled_counter(name: str, text: str, labels: list[str], values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for label_values, count in values.items():
        family.add_metric(list(label_values), count)
    return family
