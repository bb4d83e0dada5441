"""Clients who leave or do not read: their jobs go, their memory is bounded, no neighbour suffers."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from socket import socket

import httpx
import psutil

from tests import sse
from tests.contract.raw import connect
from tests.faults.streams import ENDLESS, WORDS, opened, wait_tokens, worker
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess, wait_for

PROMPT = {"prompt": WORDS, "model": "steady", "max_tokens": 1_000}
FLOOD = ENDLESS | {"prompt": "flood", "model": "echo"}
# What the kernel may hold for a client that does not read.
RECEIVE_BYTES = 4_096


@contextmanager
def deaf(service: ServiceProcess, path: str = "/v1/completions", **headers: str) -> Iterator[socket]:
    """A client that asks for a flood and reads nothing of it."""
    body = json.dumps(FLOOD)
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with closing(connect(service.url, RECEIVE_BYTES)) as client:
        client.sendall("\r\n".join([*lines, "", body]).encode())
        yield client


def ended(service: ServiceProcess, reason: str) -> int:
    number: int = service.metrics()["ended"].get(reason, 0)
    return number


def test_gone_while_generating(service: ServiceProcess) -> None:
    before, tokens = ended(service, "client_gone"), service.metrics()["tokens"].get("steady", 0)
    with opened(service, "/generate_stream", PROMPT):
        wait_tokens(service)
    service.wait_idle()
    assert ended(service, "client_gone") == before + 1
    made = service.metrics()["tokens"]["steady"] - tokens
    assert made < 100
    assert worker(service, "steady")["jobs"] == 0


def test_gone_while_queued(service: ServiceProcess) -> None:
    """The job that waited leaves the worker while the one ahead still runs."""
    with opened(service, "/generate_stream", PROMPT):
        wait_tokens(service)
        with opened(service, "/generate_stream", PROMPT):
            assert worker(service, "steady")["jobs"] == 2
        service.wait_for_metrics(lambda m: (m["workers"][1]["jobs"], m["active_streams"]) == (1, 1))


def test_gone_without_streaming(service: ServiceProcess) -> None:
    body = {"prompt": WORDS, "model": "steady", "max_tokens": 1_000}
    with closing(connect(service.url)) as client:
        text = json.dumps(body)
        head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        service.wait_for_metrics(lambda m: m["workers"][1]["jobs"] == 1)
    service.wait_idle()


def test_many_leave_at_once(service: ServiceProcess) -> None:
    before = service.metrics()["total_streams"]
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(opened(service, "/v1/completions", FLOOD))
    service.wait_idle()
    assert service.metrics()["total_streams"] == before + 20


def test_a_resumable_stream_outlives_its_reader_for_a_while(service: ServiceProcess) -> None:
    before = ended(service, "client_gone")
    with opened(service, "/generate_stream", PROMPT, **{"X-Stream-Resumable": "1"}) as answer:
        path = f"/streams/{answer.headers['X-Stream-Id']}"
        first = []
        for event in sse.events(answer):
            first.append(event)
            if len(first) == 5:
                break
    with httpx.stream(
        "GET", f"{service.url}{path}", headers={"Last-Event-ID": "5"}, timeout=REQUEST_TIMEOUT_S
    ) as answer:
        second = next(sse.events(answer))
        assert second.id == "6"
    wait_for(lambda: ended(service, "client_gone") == before + 1)
    text = "".join(json.loads(event.data)["token"] for event in [*first[1:], second])
    assert WORDS.startswith(text)
    # Its log is still there, with its ending.
    events = list(sse.events(service.http.get(path)))
    assert json.loads(events[-1].data)["finish_reason"] == "client_gone"


def test_a_deaf_reader_ends_as_slow_client_beside_a_quick_one(service: ServiceProcess) -> None:
    before, limit = ended(service, "slow_client"), 32_768
    peak = 0
    with deaf(service):
        metrics = service.wait_for_metrics(lambda m: m["paused_streams"] == 1 and m)
        peak = metrics["log_bytes"]
        with opened(service, "/generate_stream", PROMPT | {"model": "echo"}) as quick:
            assert [event.event for event in sse.events(quick)][-1] == "complete"
        while ended(service, "slow_client") == before:
            peak = max(peak, service.metrics()["log_bytes"])
    # What is unread, and what was under way in the pipe when the job was paused.
    assert limit < peak < limit + 1_000_000
    service.wait_idle()
    assert service.metrics()["log_bytes"] < 300_000


def test_a_deaf_reader_is_paused_not_fed(service: ServiceProcess) -> None:
    with deaf(service):
        wait_for(lambda: service.metrics()["paused_streams"] == 1)
        state = lambda: service.metrics()["current_streams"]  # noqa: E731
        tokens = [stream["tokens"] for stream in state()]
        wait_for(lambda: not state() or worker(service, "echo")["stats"]["num_paused"] == 1)
        for stream in state():
            assert stream["tokens"] < tokens[0] + 50_000
    service.wait_idle()


def test_a_reader_who_listens_again_has_lost_nothing(tmp_path: Path, fragile_config: str) -> None:
    patience = ("--set", "http.write_timeout_s=60", "--set", "streams.stall_timeout_s=60")
    with ServiceProcess(tmp_path, "--config", fragile_config, *patience) as service:
        check_listens_again(service)


def check_listens_again(service: ServiceProcess) -> None:
    body = json.dumps(FLOOD | {"prompt": "a b c d e f g", "max_tokens": 7_000})
    head = "POST /v1/completions HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n"
    with closing(connect(service.url, RECEIVE_BYTES)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        wait_for(lambda: service.metrics()["paused_streams"] == 1)
        read = b""
        while chunk := client.recv(1 << 16):
            read += chunk
    data = sse.objects(read.partition(b"\r\n\r\n")[2])
    assert "".join(item["choices"][0]["text"] for item in data) == "a b c d e f g" * 1_000
    assert data[-1]["choices"][0]["finish_reason"] == "length"


def test_a_slow_reader_beside_a_quick_one_is_dropped_alone(tmp_path: Path, fragile_config: str) -> None:
    """Outrun by a whole log, not timed out: with these limits no clock has a say."""
    patience = ("--set", "http.write_timeout_s=60", "--set", "streams.stall_timeout_s=60")
    body = FLOOD | {"max_tokens": 20_000}
    with (
        ServiceProcess(tmp_path, "--config", fragile_config, *patience) as service,
        opened(service, "/v1/completions", body, **{"X-Stream-Resumable": "1"}) as quick,
        closing(connect(service.url, RECEIVE_BYTES)) as slow,
    ):
        # From now on: what came first may be gone.
        path = f"/streams/{quick.headers['X-Stream-Id']}?last_event_id=99999"
        slow.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        assert slow.recv(10)
        data = sse.objects(quick.iter_bytes())
        read = b""
        while chunk := slow.recv(1 << 16):
            read += chunk
    assert data[-1]["choices"][0]["finish_reason"] == "length"
    assert sum(len(item["choices"][0]["text"]) for item in data) == 20_000 * len("flood")
    assert b'"finish_reason":"slow_client"' in read
    assert read.count(b"[DONE]") == 1


def test_who_listens_again_too_late_hears_why_it_ended(service: ServiceProcess) -> None:
    with deaf(service) as client:
        service.wait_for_metrics(lambda m: m["active_streams"] == 1)
        service.wait_for_metrics(lambda m: m["active_streams"] == 0)
        read = b""
        while b"[DONE]" not in read:
            read += client.recv(1 << 16)
    assert read.count(b'"finish_reason":"slow_client"') == 1


def test_a_stuck_socket_is_cut_off(service: ServiceProcess) -> None:
    """It never drains: after `write_timeout_s` the connection is gone, though nobody closed it."""
    process = psutil.Process(service.process.pid)
    with deaf(service) as client:
        port = client.getsockname()[1]
        is_open = lambda: any(c.raddr and c.raddr.port == port for c in process.net_connections("tcp"))  # noqa: E731
        wait_for(is_open)
        wait_for(lambda: not is_open())
    service.wait_idle()


def test_no_pause_between_tokens_is_longer_than_the_keepalives_interval(service: ServiceProcess) -> None:
    """A token every second, a proxy that loses patience after 0.8 s: each wait needs its own comment."""
    body = {"prompt": " ".join(WORDS.split()[:7]), "model": "slow"}
    answer = service.http.post("/stream_text", json=body)
    blocks = [block for block in answer.content.split(b"data: ")[1:-1] if b"token" in block]
    assert len(blocks) == 7
    assert sum(b": keep-alive" in block for block in blocks[:-1]) >= 4
