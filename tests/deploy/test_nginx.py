"""config/nginx.conf, in a real nginx in front of the real service."""

import json
import re
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest

from config.command_line import load
from tests.deploy.conftest import STEPS_PER_S
from tests.deploy.nginx import SHIPPED, Nginx
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess, free_port, wait_for

NUM_TOKENS = 40
# On a busy machine some are late by themselves; in a proxy's buffer all are, every time.
NUM_ATTEMPTS = 8
# More than any socket or proxy buffer holds.
ENDLESS = {"messages": [{"role": "user", "content": "on and on"}], "stream": True, "ignore_eos": True}
ENDLESS |= {"max_tokens": 1_000_000}


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, echo_service: ServiceProcess) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), urlsplit(echo_service.url).netloc) as nginx:
        yield nginx


@pytest.fixture(scope="module")
def paced_nginx(tmp_path_factory: pytest.TempPathFactory, paced_service: ServiceProcess) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("paced_nginx"), urlsplit(paced_service.url).netloc) as nginx:
        yield nginx


def is_idle(service: ServiceProcess) -> bool:
    return not service.metrics()["active_streams"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson", "text/plain"])
def test_each_token_arrives_before_the_next_is_made(
    paced_nginx: Nginx, paced_service: ServiceProcess, accept: str
) -> None:
    paced_service.wait_idle()
    assert any(is_prompt(paced_nginx, paced_service, accept) for _ in range(NUM_ATTEMPTS))


def is_prompt(paced_nginx: Nginx, paced_service: ServiceProcess, accept: str) -> bool:
    """Whether tokens come as they are made: the `clock` model's are the times at which they were."""
    body = {"model": "clock", "prompt": " ".join(["tick"] * NUM_TOKENS)}
    reads: list[tuple[float, str]] = []
    is_running = False
    url, headers = f"{paced_nginx.url}/stream_text", {"Accept": accept}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=REQUEST_TIMEOUT_S) as answer:
        for text in answer.iter_text():
            reads.append((time.monotonic(), text))
            if len(reads) == NUM_TOKENS // 2:
                is_running = paced_service.metrics()["active_streams"] == 1
    delays = [arrived - float(made) for arrived, text in reads for made in re.findall(r"\d+\.\d+", text)]
    assert len(delays) == NUM_TOKENS
    return (
        is_running
        and len(reads) > 0.9 * NUM_TOKENS
        and statistics.median(delays) < 0.5 / STEPS_PER_S
        and sum(delay < 1 / STEPS_PER_S for delay in delays) > 0.9 * NUM_TOKENS
    )


def test_client_that_leaves_cancels_the_job(nginx: Nginx, echo_service: ServiceProcess) -> None:
    echo_service.wait_idle()
    with httpx.stream(
        "POST", f"{nginx.url}/v1/chat/completions", json=ENDLESS, timeout=REQUEST_TIMEOUT_S
    ) as answer:
        lines = answer.iter_lines()
        assert "content" in next(lines)
        assert echo_service.metrics()["active_streams"] == 1
        ended = echo_service.metrics()["ended"].get("client_gone", 0)
    wait_for(lambda: is_idle(echo_service), explain=echo_service.metrics)
    assert echo_service.metrics()["ended"]["client_gone"] == ended + 1


def test_client_that_reads_nothing_pauses_the_job(nginx: Nginx, echo_service: ServiceProcess) -> None:
    """nginx stops reading when its client does: it stores no stream."""
    body = json.dumps(ENDLESS)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    )
    with closing(socket.create_connection(("127.0.0.1", urlsplit(nginx.url).port))) as client:
        client.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
        wait_for(lambda: echo_service.metrics()["paused_streams"] == 1, explain=echo_service.metrics)
    wait_for(lambda: is_idle(echo_service), explain=echo_service.metrics)


async def test_websockets_pass(nginx: Nginx) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{nginx.url}/ws") as ws:
        for text in ("one", "two", "🦊"):
            await ws.send_str(text)
            assert (await ws.receive(timeout=REQUEST_TIMEOUT_S)).data == f"Echo: {text}"


def test_body_over_the_limit_is_413(nginx: Nginx) -> None:
    limit = load([], {}).http.max_body_bytes
    answer = httpx.post(
        f"{nginx.url}/generate_stream",
        content=b"x" * (limit + 1),
        headers={"X-Request-Id": "big"},
        timeout=REQUEST_TIMEOUT_S,
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert f"{limit} bytes" in answer.json()["error"]["message"]
    assert answer.headers["X-Request-Id"] == "big"
    # What is allowed goes through: the service's own word on a body that is no JSON.
    allowed = httpx.post(f"{nginx.url}/generate_stream", content=b"x" * limit, timeout=REQUEST_TIMEOUT_S)
    assert allowed.json()["error"]["code"] != "too_large"


def test_request_id_is_kept_or_made(nginx: Nginx) -> None:
    with httpx.Client(base_url=nginx.url, timeout=REQUEST_TIMEOUT_S) as http:
        ask = lambda **headers: http.post("/generate_stream", json={"prompt": "x"}, headers=headers)  # noqa: E731
        assert ask(**{"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == "mine-1"
        assert re.fullmatch("[0-9a-f]{32}", ask().headers["X-Request-Id"])


def test_stream_headers_pass(nginx: Nginx) -> None:
    answer = httpx.post(
        f"{nginx.url}/generate_stream", json={"prompt": "hello there"}, timeout=REQUEST_TIMEOUT_S
    )
    assert answer.headers["X-Stream-Id"]
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Content-Encoding" not in answer.headers


def test_service_that_is_down_is_503(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{free_port()}") as nginx:
        answer = httpx.post(
            f"{nginx.url}/generate_stream", json={"prompt": "anyone?"}, timeout=REQUEST_TIMEOUT_S
        )
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["error"]["type"] == "overloaded_error"


def test_numbers_mirror_the_settings() -> None:
    settings = load([], {})

    def number(directive: str) -> float:
        match = re.search(rf"^    {directive} (\d+)s?;", SHIPPED.read_text(), re.MULTILINE)
        assert match, directive
        return float(match[1])

    assert number("client_max_body_size") == settings.http.max_body_bytes
    assert number("proxy_read_timeout") >= settings.limits.max_timeout_s > settings.http.keepalive_interval_s
    assert number("send_timeout") > max(settings.http.write_timeout_s, settings.streams.stall_timeout_s)
