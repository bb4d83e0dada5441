"""The native text routes: what is sent, in which form, under which headers."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from tests import sse
from tests.contract.raw import exchange
from tests.service_process import ServiceProcess

PROMPT = "One two  three.\nFöur 🦊"
WORDS = ["One", " two", "  three.", "\nFöur", " 🦊"]
SSE, NDJSON, TEXT = "text/event-stream", "application/x-ndjson", "text/plain"


def post(service: ServiceProcess, path: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
    return service.http.post(path, json=body, headers=headers)


def names(answer: httpx.Response) -> list[str | None]:
    return [event.event for event in sse.events(answer)]


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.split("\n") if line]


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "/stream_text", "prompt"),
        ("GET", "/stream_text", "prompt"),
        ("POST", "/generate_stream", "prompt"),
        ("GET", "/generate_stream", "prompt"),
        ("POST", "/generate-stream", "prompt"),
        ("POST", "/safe_stream", "prompt"),
        ("POST", "/chat/stream", "message"),
        ("GET", "/chat/stream", "message"),
        ("POST", "/chat/stream-simple", "message"),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", SSE, NDJSON, TEXT, f"{NDJSON};q=0.1, {TEXT};q=0.9", "image/png"])
def test_headers_and_framing(
    service: ServiceProcess, method: str, path: str, field: str, accept: str
) -> None:
    default = TEXT if path in ("/generate-stream", "/chat/stream-simple") else SSE
    wanted = {SSE: SSE, NDJSON: NDJSON, TEXT: TEXT}.get(accept, TEXT if "q=" in accept else default)
    body = {"json": {field: PROMPT}} if method == "POST" else {"params": {field: PROMPT}}
    answer = service.http.request(method, path, headers={"Accept": accept}, **body)  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == wanted
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Request-Id"]
    assert re.fullmatch(r"st_[\w-]{22}", answer.headers["X-Stream-Id"])
    if wanted == SSE:
        assert list(sse.events(answer))
    elif wanted == NDJSON:
        assert all(isinstance(item, dict) for item in lines(answer))
    else:
        assert PROMPT in answer.text


def test_stream_text(service: ServiceProcess) -> None:
    answer = post(service, "/stream_text", {"prompt": PROMPT})
    events = list(sse.events(answer))
    data = [json.loads(event.data) for event in events]
    assert data[:-1] == [{"token": word} for word in WORDS]
    assert data[-1]["done"] is True
    assert data[-1]["finish_reason"] == "stop"
    assert data[-1]["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    assert [event.id for event in events] == [str(i) for i in range(1, 7)]
    assert [event.event for event in events] == [None] * 6
    assert (events[0].retry, events[1].retry) == (2000, None)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_generate_stream(service: ServiceProcess, method: str) -> None:
    wishes = {"prompt": PROMPT, "max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": -3}
    wishes |= {"stop": "never", "model": "echo"}
    form = {"json": wishes} if method == "POST" else {"params": wishes}
    answer = service.http.request(method, "/generate_stream", **form)  # type: ignore[arg-type]
    events = [(event.event, json.loads(event.data)) for event in sse.events(answer)]
    start = {"message": "Starting generation", "stream_id": answer.headers["X-Stream-Id"]}
    assert events[0] == ("start", start)
    assert events[1:-1] == [
        ("token", {"token": word, "token_id": i, "generated_tokens": i + 1, "is_complete": False})
        for i, word in enumerate(WORDS[:4])
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    closing = {"token": "", "token_id": None, "generated_tokens": 4, "is_complete": True}
    assert events[-1] == ("complete", closing | {"finish_reason": "length", "usage": usage})


def test_generate_stream_stops_at_100_tokens_unless_told(service: ServiceProcess) -> None:
    answer = post(service, "/generate_stream", {"prompt": "w " * 200})
    assert sse.objects(answer.content)[-1]["generated_tokens"] == 100


def test_generate_plain_is_a_page(service: ServiceProcess) -> None:
    answer = post(service, "/generate-stream", {"prompt": PROMPT, "max_tokens": 100})
    page = f"Prompt: {PROMPT}\n\nGenerated text: {PROMPT}\n\n[Generation complete]"
    assert answer.content.decode() == page
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_generate_plain_as_events(service: ServiceProcess) -> None:
    answer = post(service, "/generate-stream", {"prompt": PROMPT}, Accept=SSE)
    assert names(answer) == ["start", *["token"] * 5, "complete"]


def test_safe_stream_sends_plain_data(service: ServiceProcess) -> None:
    answer = post(service, "/safe_stream", {"prompt": PROMPT, "max_retries": 0})
    assert names(answer) == [None] * 7
    data = sse.objects(answer.content)
    assert [item.get("token") for item in data[1:]] == [*WORDS, ""]
    assert data[-1]["is_complete"] is True


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_chat_stream(service: ServiceProcess, method: str) -> None:
    wishes = {"message": PROMPT, "model": "echo", "provider": "local"}
    form = {"json": wishes} if method == "POST" else {"params": wishes}
    answer = service.http.request(method, "/chat/stream", **form)  # type: ignore[arg-type]
    events = [(event.event, json.loads(event.data)) for event in sse.events(answer)]
    assert events[0] == ("start", {"stream_id": answer.headers["X-Stream-Id"]})
    assert events[1:-1] == [("message", {"text": word}) for word in WORDS]
    name, body = events[-1]
    assert (name, body["status"]) == ("done", "complete")
    assert body["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


def test_chat_stream_simple_is_the_text_alone(service: ServiceProcess) -> None:
    answer = post(service, "/chat/stream-simple", {"message": PROMPT})
    assert answer.content.decode() == PROMPT
    assert names(post(service, "/chat/stream-simple", {"message": PROMPT}, Accept=SSE))[-1] == "done"


def test_a_session_is_remembered(service: ServiceProcess) -> None:
    """Echo answers the last message; what went before is counted in nobody's prompt but there."""
    for _ in range(2):
        answer = post(service, "/chat/stream", {"message": "hi", "session_id": "s1"})
        assert sse.objects(answer.content)[1] == {"text": "hi"}


@pytest.mark.parametrize(
    ("body", "param", "word"),
    [
        ({"message": "x", "model": "nope"}, "model", "echo"),
        ({"message": "x", "provider": "nope"}, "provider", "local"),
    ],
)
def test_unknown_models_and_providers_are_404(
    service: ServiceProcess, body: dict[str, str], param: str, word: str
) -> None:
    answer = post(service, "/chat/stream", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", param)
    assert "nope" in error["message"] and word in error["message"]


def test_ndjson_says_everything(service: ServiceProcess) -> None:
    answer = post(service, "/generate_stream", {"prompt": PROMPT}, Accept=NDJSON)
    data = lines(answer)
    assert data[0]["message"] == "Starting generation"
    assert [item["token"] for item in data[1:]] == [*WORDS, ""]
    assert data[-1]["is_complete"] is True
    data = lines(post(service, "/chat/stream", {"message": PROMPT}, Accept=NDJSON))
    assert data[-1]["status"] == "complete"


def test_http_1_0_gets_the_whole_stream(service: ServiceProcess) -> None:
    """Without chunks: the connection's end is the body's end."""
    head, body = exchange(service.url, b"GET /stream_text?prompt=a+b HTTP/1.0\r\n\r\n")
    assert b" 200 " in head and b"chunked" not in head.lower()
    assert [item.get("token") for item in sse.objects(body)] == ["a", " b", None]
