"""`/process_stream`, and what holds for all streams of stages, through a real service."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import sse
from tests.contract.stages import NDJSON, PLAIN, RESUMABLE, SSE, TEXT, USAGE, lines, post, refused, run
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess

MANY = [f"item {index}" for index in range(50_000)]
LIST = {"data": MANY, "chunk_size": 1}


@pytest.fixture(scope="module")
def service(pipeline_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A pipeline of tiny models, and an echo model."""
    yield pipeline_service
    pipeline_service.wait_ready()
    pipeline_service.check_serves()


def test_the_items_of_a_list(service: ServiceProcess) -> None:
    data = ["fox", "Straße", ""]
    first, second, last = run(service, "/process_stream", data=data, chunk_size=2)
    assert (first["type"], first["processed"], first["total"]) == ("progress", 2, 3)
    assert first["progress"] == 0.666667
    assert first["chunk_results"][0] == {
        "original": "fox",
        "processed": "FOX",
        "length": 3,
        "hash": "2b95d1f0",
    }
    assert second["processed"] == 3
    assert (last["type"], last["processed"], last["progress"]) == ("complete", 3, 1.0)
    assert last["all_results"] == first["chunk_results"] + second["chunk_results"]
    assert last["summary"] == {"total_items": 3, "total_length": 9, "average_length": 3.0}
    assert last["finish_reason"] == "completed"
    assert set(last["usage"]) == USAGE


def test_an_empty_list_is_complete_at_once(service: ServiceProcess) -> None:
    (only,) = run(service, "/process_stream", data=[])
    assert (only["type"], only["processed"], only["total"]) == ("complete", 0, 0)
    assert only["summary"] == {"total_items": 0, "total_length": 0, "average_length": 0.0}


def test_the_default_chunk_is_ten(service: ServiceProcess) -> None:
    told = run(service, "/process_stream", data=["x"] * 25)
    assert [event["processed"] for event in told] == [10, 20, 25, 25]


def test_a_long_list_comes_from_its_first_chunk_on(service: ServiceProcess) -> None:
    data = MANY[:10_000]
    with service.http.stream("POST", "/process_stream", json={"data": data}, headers=NDJSON) as answer:
        told = answer.iter_lines()
        first = json.loads(next(told))
        stream_id = answer.headers["X-Stream-Id"]
        chunks = [first, *map(json.loads, told)]
    assert (first["processed"], first["total"]) == (10, 10_000)
    *chunks, last = chunks
    assert [chunk["processed"] for chunk in chunks] == list(range(10, 10_001, 10))
    assert [item["original"] for chunk in chunks for item in chunk["chunk_results"]] == data
    assert last["all_results"] == [item for chunk in chunks for item in chunk["chunk_results"]]
    # Nothing of it is kept for nobody.
    assert refused(service.http.get(f"/streams/{stream_id}"), 410)["code"] == "stream_expired"
    service.wait_for_metrics(lambda metrics: metrics["log_bytes"] < 1_000_000)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "$.data: required"),
        ({"data": "abc"}, "$.data: Expected `array`"),
        ({"data": ["a", 1]}, "$.data[1]: Expected `str`, got `int`"),
        ({"data": ["a"], "chunk_size": 0}, "$.chunk_size: Expected `int` >= 1"),
        ({"data": ["a"], "chunk_size": 10_001}, "$.chunk_size: Expected `int` <= 10000"),
        ({"data": ["a"], "chunk_size": 2.0}, "$.chunk_size: Expected `int`, got `float`"),
        ({"data": [""] * 50_001}, "$.data: 50001 items > 50000 (limits.max_items)"),
    ],
)
def test_limits_of_a_list(service: ServiceProcess, body: Any, message: str) -> None:
    assert message in refused(post(service, "/process_stream", **body))["message"]


# What holds for all of them


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("/pipeline_stream", "text/event-stream"),
        ("/process-stream", "application/x-ndjson"),
        ("/process_stream", "text/event-stream"),
    ],
)
def test_every_framing_of_every_route(service: ServiceProcess, path: str, default: str) -> None:
    body: Any = {"data": ["a"]} if path == "/process_stream" else {"text": TEXT}
    for headers in (SSE, NDJSON, PLAIN, {"Accept": "*/*"}):
        answer = post(service, path, headers, **body)
        wanted = default if headers["Accept"] == "*/*" else headers["Accept"]
        assert answer.headers["Content-Type"].split(";")[0] == wanted
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["X-Request-Id"]
        assert "ompleted" in answer.text or "complete" in answer.text or "items" in answer.text


@pytest.mark.parametrize("path", ["/pipeline_stream", "/process-stream", "/process_stream"])
def test_a_stream_can_be_read_again_from_any_event(service: ServiceProcess, path: str) -> None:
    body: Any = {"data": ["a"] * 30} if path == "/process_stream" else {"text": TEXT}
    answer = post(service, path, SSE | RESUMABLE, **body)
    events = list(sse.events(answer))
    stream_id = answer.headers["X-Stream-Id"]
    for seq in range(len(events)):
        again = service.http.get(f"/streams/{stream_id}", headers={"Last-Event-ID": str(seq)})
        assert [(event.id, event.data) for event in sse.events(again)] == [
            (event.id, event.data) for event in events[seq:]
        ]
    rest = service.http.get(f"/streams/{stream_id}", headers={"Last-Event-ID": str(len(events))})
    assert (rest.status_code, list(sse.events(rest))) == (200, [])


def test_a_cancelled_list_ends_once_and_says_so(service: ServiceProcess) -> None:
    with service.http.stream("POST", "/process_stream", json=LIST, headers=NDJSON) as answer:
        told = answer.iter_lines()
        assert json.loads(next(told))["type"] == "progress"
        stream_id = answer.headers["X-Stream-Id"]
        with httpx.Client(base_url=service.url, timeout=REQUEST_TIMEOUT_S) as other:
            cancelled = other.post(f"/streams/{stream_id}/cancel")
            assert (cancelled.status_code, cancelled.json()) == (200, {"status": "cancelled"})
        kinds = Counter(json.loads(line)["type"] for line in told)
    assert kinds["cancelled"] == 1
    assert kinds["complete"] == 0
    service.wait_idle()


def test_a_deadline_keeps_what_was_made(service: ServiceProcess) -> None:
    told = lines(post(service, "/process_stream", NDJSON | {"X-Request-Timeout": "0.05"}, **LIST))
    assert (told[-1]["type"], told[-1]["finish_reason"]) == ("deadline", "deadline")
    assert set(told[-1]["usage"]) == USAGE
    service.wait_idle()


def test_a_client_that_leaves_stops_its_job(service: ServiceProcess) -> None:
    ended = service.metrics()["ended"].get("client_gone", 0)
    with service.http.stream("POST", "/process_stream", json=LIST) as answer:
        next(sse.events(answer))
    service.wait_for_metrics(lambda metrics: metrics["ended"].get("client_gone", 0) > ended)
    service.wait_idle()


def test_a_lost_worker_is_an_error_event(service: ServiceProcess) -> None:
    with service.http.stream("POST", "/process_stream", json=LIST) as answer:
        events = sse.events(answer)
        next(events)
        with httpx.Client(base_url=service.url, timeout=REQUEST_TIMEOUT_S) as other:
            workers = other.get("/metrics").json()["workers"]
        os.kill(next(worker["pid"] for worker in workers if worker["model"] == "pipeline"), signal.SIGKILL)
        *_, last = events
    assert last.event == "error"
    body = json.loads(last.data)
    assert (body["type"], body["error"]["code"], body["error"]["retryable"]) == ("error", "worker_lost", True)
    service.wait_ready()
