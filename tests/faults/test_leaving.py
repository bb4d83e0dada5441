"""SIGTERM drains; SIGKILL of the service leaves no worker behind."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests import sse
from tests.contract.raw import connect
from tests.faults.streams import WORDS, opened, wait_tokens, worker
from tests.faults.test_clients import deaf
from tests.service_process import ServiceProcess, wait_for
from tests.websocket import TIMEOUT_S

SHORT = {"prompt": " ".join(WORDS.split()[:100]), "model": "steady"}
LONG = {"prompt": WORDS, "model": "steady", "max_tokens": 1_000}


@pytest.fixture
def own_service(tmp_path: Path, fragile_config: str) -> Iterator[ServiceProcess]:
    """A service that the test may end."""
    with ServiceProcess(tmp_path, "--config", fragile_config) as service:
        yield service


def assert_no_child_left(children: list[psutil.Process]) -> None:
    assert len(children) >= 2
    wait_for(lambda: not any(child.is_running() for child in children), explain=lambda: children)


def test_running_streams_end_whole_and_new_ones_are_refused(own_service: ServiceProcess) -> None:
    children = own_service.children()
    with opened(own_service, "/generate_stream", SHORT) as answer:
        wait_tokens(own_service)
        own_service.process.send_signal(signal.SIGTERM)
        own_service.wait_for_log("draining")
        refused = own_service.http.post("/stream_text", json={"prompt": "x"})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["type"]) == (503, "drained", "overloaded_error")
        assert refused.headers["Retry-After"]
        assert own_service.http.get("/readyz").status_code == 503
        assert own_service.http.get("/healthz").status_code == 200
        data = sse.objects(answer.iter_bytes())
    assert data[-1]["finish_reason"] == "stop"
    assert "".join(item.get("token", "") for item in data) == SHORT["prompt"]
    assert own_service.stop() == 0
    assert_no_child_left(children)


def test_those_over_time_end_as_drained(tmp_path: Path, fragile_config: str) -> None:
    flags = (
        "--config",
        fragile_config,
        "--set",
        "http.drain_timeout_s=0.3",
        "--set",
        "streams.stall_timeout_s=60",
    )
    with ServiceProcess(tmp_path, *flags) as service, ExitStack() as stack:
        children = service.children()
        native = stack.enter_context(opened(service, "/generate_stream", LONG))
        queued = stack.enter_context(opened(service, "/stream_text", LONG))
        stack.enter_context(deaf(service))
        whole = []
        body = LONG | {"stream": False, "model": "echo", "max_tokens": 1_000_000, "ignore_eos": True}
        asking = threading.Thread(
            target=lambda: whole.append(service.http.post("/v1/completions", json=body))
        )
        asking.start()
        service.wait_for_metrics(lambda m: m["active_streams"] == 4)
        # All but the one that waits in the queue.
        wait_tokens(service, 3)
        service.process.send_signal(signal.SIGTERM)
        end = sse.objects(native.iter_bytes())[-1]
        assert end["finish_reason"] == "drained" and end["usage"]["completion_tokens"] > 0
        assert sse.objects(queued.iter_bytes())[-1]["finish_reason"] == "drained"
        asking.join()
        assert whole[0].json()["choices"][0]["finish_reason"] in ("drained", "length")
        assert service.wait_end() == 0
        assert_no_child_left(children)


def test_a_second_signal_ends_at_once(own_service: ServiceProcess) -> None:
    with opened(own_service, "/generate_stream", LONG | {"max_tokens": 200}) as answer:
        wait_tokens(own_service)
        own_service.process.send_signal(signal.SIGINT)
        own_service.wait_for_log("draining")
        own_service.process.send_signal(signal.SIGINT)
        assert sse.objects(answer.iter_bytes())[-1]["finish_reason"] == "drained"
    assert own_service.wait_end() == 0


async def test_open_sockets_are_told_to_come_back(own_service: ServiceProcess) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{own_service.url}/ws") as ws:
        await ws.send_str("x")
        await ws.receive(TIMEOUT_S)
        own_service.process.send_signal(signal.SIGTERM)
        await ws.receive(TIMEOUT_S)
        assert ws.close_code == 1012
    assert own_service.wait_end() == 0


def test_idle_connections_do_not_hold_it_up(own_service: ServiceProcess) -> None:
    idle = [connect(own_service.url) for _ in range(3)]
    idle[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert idle[0].recv(10)
    idle[1].sendall(b"POST /stream_text HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    assert own_service.stop() == 0
    for client in idle:
        client.close()


def test_while_it_loads(tmp_path: Path, fragile_config: str) -> None:
    service = ServiceProcess(tmp_path, "--config", fragile_config).start(wait_ready=False)
    children = service.children()
    assert service.stop() == 0
    wait_for(lambda: not any(child.is_running() for child in children))


def test_a_stopped_worker_does_not_hold_it_up(own_service: ServiceProcess) -> None:
    children = own_service.children()
    psutil.Process(worker(own_service, "echo")["pid"]).suspend()
    assert own_service.stop() == 0
    assert_no_child_left(children)


def test_a_killed_service_leaves_no_worker(own_service: ServiceProcess) -> None:
    children = own_service.children()
    with opened(own_service, "/generate_stream", LONG), deaf(own_service):
        wait_tokens(own_service)
        assert own_service.stop(signal.SIGKILL) == -signal.SIGKILL
        assert_no_child_left(children)


def test_the_log_tells_each_jobs_life_once(own_service: ServiceProcess) -> None:
    own_service.http.post("/stream_text", json={"prompt": "secret words"}, headers={"X-Request-Id": "r1"})
    assert own_service.stop() == 0
    lines = [line for line in own_service.log_lines() if line.get("request") == "r1"]
    assert [line["message"] for line in lines] == [
        "job accepted",
        "job started",
        "job first event",
        "job ended",
    ]
    assert (lines[-1]["reason"], lines[-1]["tokens"]) == ("stop", 2)
    assert "secret" not in json.dumps(own_service.log_lines())
