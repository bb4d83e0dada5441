"""`provider` on /chat/stream: upstream APIs in a worker's place, through their official clients."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests import sse
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess, wait_for

ANTHROPIC_EVENTS = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 7, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]  # fmt: skip


class Upstream(BaseHTTPRequestHandler):
    """Plays an upstream: the path's first word says how it behaves."""

    requests: list[tuple[str, dict[str, str], dict[str, object]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append((self.path, dict(self.headers), body))
        if self.path.startswith("/busy"):
            self._answer(429, "application/json", b'{"error":{"message":"too many","type":"rate"}}')
        elif self.path.startswith("/broken"):
            self._answer(200, "text/event-stream", _sse(ANTHROPIC_EVENTS[:3]))
        else:
            self._answer(200, "text/event-stream", _sse(ANTHROPIC_EVENTS))

    def log_message(self, *_: object) -> None: ...

    def _answer(self, status: int, media: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _sse(events: list[dict[str, object]]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(e["type"]).encode(), json.dumps(e).encode()) for e in events
    )


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, echo_service: ServiceProcess, upstream: str
) -> Iterator[ServiceProcess]:
    """A service whose providers are the echo service and the played upstream."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "key").write_text("sk-from-a-file\n")
    settings = f"""
        [models.echo]
        engine = "echo"
        path = "echo"
        [providers.sluice]
        kind = "openai"
        base_url = "{echo_service.url}/v1"
        [providers.strict]
        kind = "openai"
        base_url = "{echo_service.url}/v1"
        models = ["echo"]
        [providers.nowhere]
        kind = "openai"
        base_url = "http://127.0.0.1:9/v1"
        [providers.claude]
        kind = "anthropic"
        base_url = "{upstream}"
        api_key_file = "{folder / "key"}"
        max_history_chars = 30
        [providers.busy]
        kind = "anthropic"
        base_url = "{upstream}/busy"
        [providers.broken]
        kind = "anthropic"
        base_url = "{upstream}/broken"
    """
    with ServiceProcess(folder, config=settings) as service:
        yield service
        service.check_serves()
        assert service.stop() == 0
    echo_service.check_serves()


def ask(gateway: ServiceProcess, provider: str, **fields: object) -> httpx.Response:
    body = {"message": "one two three", "model": "echo", "provider": provider} | fields
    return gateway.http.post("/chat/stream", json=body)


def test_openai_upstream_streams_through(gateway: ServiceProcess) -> None:
    answer = ask(gateway, "sluice")
    events = list(sse.events(answer))
    assert [event.event for event in events] == ["start", "message", "message", "message", "done"]
    assert "".join(event.json()["text"] for event in events[1:-1]) == "one two three"
    usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert events[-1].json() == {"status": "complete", "finish_reason": "stop", "usage": usage}
    assert [event.id for event in events] == ["1", "2", "3", "4", "5"]


def test_anthropic_upstream_streams_through(gateway: ServiceProcess) -> None:
    events = list(sse.events(ask(gateway, "claude", model="m", max_tokens=2)))
    assert [event.json()["text"] for event in events[1:-1]] == ["Hello", " there"]
    assert events[-1].json()["finish_reason"] == "length"
    assert events[-1].json()["usage"]["prompt_tokens"] == 7
    path, headers, body = Upstream.requests[-1]
    assert path == "/v1/messages"
    assert any(value.endswith("sk-from-a-file") for value in headers.values()), headers
    assert (body["model"], body["max_tokens"]) == ("m", 2)
    assert body["messages"] == [{"role": "user", "content": "one two three"}]


def test_history_goes_to_the_upstream(gateway: ServiceProcess) -> None:
    for message in ("first", "second"):
        assert ask(gateway, "claude", model="m", message=message, session_id="s").status_code == 200
    assert [m["content"] for m in Upstream.requests[-1][2]["messages"]] == ["first", "Hello there", "second"]  # type: ignore[attr-defined]


def test_a_long_history_is_cut_to_what_the_upstream_is_to_be_sent(gateway: ServiceProcess) -> None:
    for number in range(4):
        answer = ask(gateway, "claude", model="m", message=f"message {number}", session_id="long")
        assert answer.status_code == 200
    sent = [m["content"] for m in Upstream.requests[-1][2]["messages"]]  # type: ignore[attr-defined]
    assert sent == ["message 2", "Hello there", "message 3"]
    ask(gateway, "claude", model="m", message="x" * 40)
    assert Upstream.requests[-1][2]["messages"] == [{"role": "user", "content": "x" * 40}]


@pytest.mark.parametrize(
    ("provider", "model", "status", "code"),
    [
        ("nope", "echo", 404, "model_not_found"),
        ("strict", "other", 404, "model_not_found"),
        ("sluice", None, 404, "model_not_found"),
        ("sluice", "other", 400, "upstream_refused"),
        ("nowhere", "m", 502, "upstream_failed"),
        ("busy", "m", 503, "upstream_busy"),
    ],
)
def test_errors_before_the_first_byte(
    gateway: ServiceProcess, provider: str, model: str | None, status: int, code: str
) -> None:
    answer = ask(gateway, provider, model=model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_an_upstream_that_breaks_off_ends_in_an_error(gateway: ServiceProcess) -> None:
    events = list(sse.events(ask(gateway, "broken", model="m")))
    assert [event.event for event in events] == ["start", "message", "error"]
    assert events[-1].json()["error"]["code"] == "upstream_failed"


async def test_cancel_ends_the_upstreams_work(gateway: ServiceProcess, echo_service: ServiceProcess) -> None:
    body = {"message": "word " * 400, "model": "steady", "provider": "sluice"}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=REQUEST_TIMEOUT_S) as client:
        async with client.stream("POST", "/chat/stream", json=body) as answer:
            chunks = answer.aiter_bytes()
            await anext(chunks)
            cancelled = await client.post(f"/chat/stream/{answer.headers['X-Stream-Id']}/cancel")
            assert cancelled.json() == {"status": "cancelled"}
            rest = b"".join([chunk async for chunk in chunks])
        assert rest.endswith(b"event: cancelled\ndata: Stream cancelled\n\n")
    await asyncio.to_thread(wait_for, lambda: not echo_service.metrics()["active_streams"])
