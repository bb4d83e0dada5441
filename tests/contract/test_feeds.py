"""`/buffered_stream` through a real service: one producer, any number of readers, each a stream."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import sse
from tests.contract.conftest import ALICE, BOB
from tests.contract.raw import connect
from tests.contract.stages import NDJSON, PLAIN, RESUMABLE
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess, bearer

# Quick enough to fill a deaf reader's buffers within a second, with room for few unread.
QUICK = """
[http]
keepalive_interval_s = 0.05
send_buffer_bytes = 4_096
drain_timeout_s = 3_600.0

[streams]
join_unread_bytes = 2_048
low_unread_bytes = 4_096
max_unread_bytes = 8_192
max_log_bytes = 65_536
stall_timeout_s = 0.3

[feeds]
interval_s = 0.01
buffer_items = 5
timeout_s = 0.2

[models.echo]
engine = "echo"
path = "echo"
"""
FEED, ENDINGS = "/buffered_stream", "/buffered_stream?feed=endings"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("feeds") / "sluice.toml"
    path.write_text(QUICK)
    return str(path)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, config: str) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("feeds_service"), "--config", config) as service:
        yield service
        assert service.stop() == 0


@pytest.fixture
def service(started: ServiceProcess) -> Iterator[ServiceProcess]:
    """After each test no reader is left, no feed runs, and one more request is served."""
    yield started
    started.check_serves()
    started.wait_for_metrics(lambda m: not any(f["readers"] or f["running"] for f in m["feeds"].values()))


@contextmanager
def reading(service: ServiceProcess, path: str = FEED, /, **headers: str) -> Iterator[httpx.Response]:
    """A reader whose response has begun, on a connection of its own."""
    with httpx.stream("GET", f"{service.url}{path}", headers=headers, timeout=REQUEST_TIMEOUT_S) as answer:
        assert answer.status_code == 200, answer.read()
        yield answer


def items(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The items alone, as they come."""
    return (json.loads(event.data) for event in sse.events(answer) if not event.event)


def end_one(service: ServiceProcess) -> None:
    """Let one stream end."""
    assert service.http.post("/stream_text", json={"prompt": "a b"}).status_code == 200


def num_readers(metrics: dict[str, Any]) -> list[int]:
    """Of both feeds."""
    return [metrics["feeds"][name]["readers"] for name in ("service", "endings")]


def assert_consecutive(told: list[dict[str, Any]]) -> None:
    assert all(late["counter"] == early["counter"] + 1 for early, late in pairwise(told))


def test_the_services_own_figures(service: ServiceProcess) -> None:
    with reading(service) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Accel-Buffering"] == "no"
        stream_id, events = answer.headers["X-Stream-Id"], sse.events(answer)
        first = [next(events) for _ in range(8)]
        listed = service.http.get("/streams").json()["streams"]
    assert [event.id for event in first] == [str(number) for number in range(1, 9)]
    told = [json.loads(event.data) for event in first]
    assert all(set(item) == {"timestamp", "counter", "data"} for item in told)
    assert_consecutive(told)
    assert told[0]["timestamp"] < told[-1]["timestamp"]
    figures = told[-1]["data"]
    assert figures["active_streams"] >= 1
    assert figures["tokens_per_s"] >= 0
    assert figures["memory_bytes"] > 1_000_000
    (worker,) = figures["workers"]
    assert (worker["model"], worker["state"]) == ("echo", "ready")
    assert worker["memory_bytes"] > 1_000_000
    own = next(stream for stream in listed if stream["id"] == stream_id)
    assert (own["route"], own["model"]) == (FEED, "feed:service")
    assert own["items"] >= 8


def test_who_comes_late_gets_what_is_kept_then_the_same_as_the_others(service: ServiceProcess) -> None:
    with reading(service, ENDINGS) as first:
        early = items(first)
        for _ in range(7):
            end_one(service)
        seen = [next(early) for _ in range(7)]
        with reading(service, ENDINGS) as second:
            late = items(second)
            kept = [next(late) for _ in range(5)]
            assert kept == seen[-5:]
            end_one(service)
            assert next(late) == next(early)
    assert_consecutive(seen)
    ending = seen[-1]["data"]
    assert (ending["route"], ending["model"], ending["reason"]) == ("/stream_text", "echo", "stop")
    assert ending["tokens"] == 2
    assert "id" not in ending


def test_two_readers_have_the_same_items(service: ServiceProcess) -> None:
    with reading(service) as one, reading(service) as other:
        first = {item["counter"]: item for item, _ in zip(items(one), range(60), strict=False)}
        second = {item["counter"]: item for item, _ in zip(items(other), range(60), strict=False)}
    both = first.keys() & second.keys()
    assert len(both) > 10
    assert all(first[counter] == second[counter] for counter in both)


def test_silence_is_said_and_the_feed_goes_on(service: ServiceProcess) -> None:
    with reading(service, ENDINGS) as answer:
        read, raw = b"", answer.iter_raw()
        while read.count(b"event: timeout") < 2:
            read += next(raw)
        events = [event for event in sse.decode(read) if event.event]
        assert {event.event for event in events} == {"timeout"}
        assert json.loads(events[0].data)["duration"] == 0.2
        assert b": keep-alive\n" in read
        end_one(service)
        while b'"route":"/stream_text"' not in read[read.rfind(b"event: timeout") :]:
            read += next(raw)


@pytest.mark.parametrize("accept", [NDJSON, PLAIN], ids=["ndjson", "text"])
def test_other_framings(service: ServiceProcess, accept: dict[str, str]) -> None:
    with reading(service, **accept) as answer:
        assert answer.headers["Content-Type"].split(";")[0] == accept["Accept"]
        lines = answer.iter_lines()
        told = [json.loads(next(lines)) for _ in range(8)]
    assert_consecutive(told)
    with reading(service, ENDINGS, **accept) as answer:
        text = ""
        for line in answer.iter_lines():
            text = line
            if "no item for 0.2 s" in line:
                break
    assert accept == PLAIN or json.loads(text)["status"] == "timeout"


@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_cancel_ends_one_reader(service: ServiceProcess, method: str) -> None:
    with reading(service) as answer, reading(service) as other:
        stream_id, events = answer.headers["X-Stream-Id"], sse.events(answer)
        next(events)
        path = f"/streams/{stream_id}" + ("/cancel" if method == "POST" else "")
        assert service.http.request(method, path).json() == {"status": "cancelled"}
        *_, last = events
        # The other goes on, past what came before.
        told = items(other)
        assert next(item for item in told if item["counter"] > int(last.id or 0))
    assert last.event == "complete"
    body = json.loads(last.data)
    assert (body["status"], body["finish_reason"]) == ("cancelled", "cancelled")
    assert body["usage"]["items"] >= 1


def test_a_deadline_ends_a_reader(service: ServiceProcess) -> None:
    headers = NDJSON | {"X-Request-Timeout": "0.2"}
    told = [json.loads(line) for line in service.http.get(FEED, headers=headers).text.splitlines()]
    assert told[-1]["finish_reason"] == "deadline"
    assert told[-1]["usage"]["items"] == len(told) - 1
    assert_consecutive(told[:-1])


def test_resume(service: ServiceProcess) -> None:
    with reading(service, **RESUMABLE) as answer:
        stream_id, events = answer.headers["X-Stream-Id"], sse.events(answer)
        seen = [next(events) for _ in range(3)]
    with reading(service, f"/streams/{stream_id}", **{"Last-Event-ID": "3"}) as answer:
        events = sse.events(answer)
        seen += [next(events) for _ in range(10)]
        assert service.http.delete(f"/streams/{stream_id}").status_code == 200
        *_, last = events
    assert [event.id for event in seen] == [str(number) for number in range(1, 14)]
    assert_consecutive([json.loads(event.data) for event in seen])
    assert last.event == "complete"


def test_a_slow_reader_is_dropped_alone(service: ServiceProcess) -> None:
    before = service.metrics()["ended"].get("slow_client", 0)
    with reading(service) as quick, closing(connect(service.url, 4_096)) as slow:
        slow.sendall(b"GET /buffered_stream HTTP/1.0\r\nHost: x\r\n\r\n")
        told = []
        for item in items(quick):
            told.append(item)
            if len(told) % 50 == 0 and service.metrics()["ended"].get("slow_client", 0) > before:
                break
        assert_consecutive(told)
        read = b""
        while chunk := slow.recv(1 << 16):
            read += chunk
    *_, last = sse.decode(read.partition(b"\r\n\r\n")[2])
    assert (last.event, json.loads(last.data)["finish_reason"]) == ("complete", "slow_client")


def test_a_reader_who_leaves_is_noticed(service: ServiceProcess) -> None:
    before = service.metrics()["ended"].get("client_gone", 0)
    with reading(service) as answer:
        next(items(answer))
    service.wait_for_metrics(lambda m: m["ended"].get("client_gone", 0) == before + 1)
    service.wait_for_metrics(lambda m: not m["feeds"]["service"]["running"])


def test_many_readers(service: ServiceProcess) -> None:
    """They come and go; the feed ends with the last of them."""
    for _ in range(3):
        with reading(service) as one, reading(service) as two, reading(service, ENDINGS) as three:
            told = [items(one), items(two)]
            assert all(next(each)["counter"] for each in told)
            # Those of the last round may not have gone yet.
            service.wait_for_metrics(lambda m: num_readers(m) == [2, 1])
            assert three.headers["X-Stream-Id"]


@pytest.mark.parametrize("name", ["nope", "Service", "x" * 100, "🦊"])
def test_unknown_feeds(service: ServiceProcess, name: str) -> None:
    answer = service.http.get(FEED, params={"feed": name})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "feed_not_found", "feed")
    assert "there is: service, endings" in error["message"]


def test_readers_are_streams_of_their_key(strict_service: ServiceProcess) -> None:
    """Two streams are what one key may have open there."""
    with reading(strict_service, **bearer(ALICE)), reading(strict_service, **bearer(ALICE)) as second:
        refused = strict_service.http.get(FEED, headers=bearer(ALICE))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
        assert refused.headers["Retry-After"]
        with reading(strict_service, **bearer(BOB)):
            path = f"/streams/{second.headers['X-Stream-Id']}"
            assert strict_service.http.delete(path, headers=bearer(BOB)).status_code == 404
        assert strict_service.http.get(FEED).status_code == 401
    strict_service.wait_idle(ALICE)


def test_the_first_feed_is_the_default(service: ServiceProcess) -> None:
    for path in (FEED, f"{FEED}?feed=", f"{FEED}?feed=service"):
        with reading(service, path) as answer:
            assert "tokens_per_s" in next(items(answer))["data"]


def test_the_description_names_the_feed(service: ServiceProcess) -> None:
    operation = service.http.get("/openapi.json").json()["paths"][FEED]["get"]
    assert [(each["name"], each["in"], each["required"]) for each in operation["parameters"]] == [
        ("feed", "query", False),
        ("X-Stream-Resumable", "header", False),
        ("X-Request-Timeout", "header", False),
        ("resumable", "query", False),
    ]


def test_without_any_feed(tmp_path: Path, config: str) -> None:
    with ServiceProcess(tmp_path, "--config", config, "--set", "feeds.names={}") as service:
        error = service.http.get(FEED).json()["error"]
    assert error["code"] == "feed_not_found"
    assert "feeds.names" in error["message"]


def test_no_reader_stays_for_ever(tmp_path: Path, config: str) -> None:
    """The longest that a request may ask for is what one gets that asks for nothing."""
    with ServiceProcess(tmp_path, "--config", config, "--set", "limits.max_timeout_s=0.3") as service:
        *_, last = service.http.get(FEED, headers=NDJSON).text.splitlines()
    assert json.loads(last)["finish_reason"] == "deadline"


def test_leaving_ends_all_readers_at_once(tmp_path: Path, config: str) -> None:
    """Of a feed there is no end to wait for: the drain's hour is not for it."""
    with ServiceProcess(tmp_path, "--config", config) as service:
        with reading(service) as live, reading(service, ENDINGS) as silent:
            events = sse.events(live)
            next(events)
            service.process.terminate()
            *_, last = events
            *_, other = sse.events(silent)
        assert service.stop() == 0
    for event in (last, other):
        assert (event.event, json.loads(event.data)["finish_reason"]) == ("complete", "drained")
