"""Streams by id: resume in every framing, cancel, list, deadline; only for the key that began them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests import sse
from tests.contract.conftest import ALICE, BOB
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess, bearer, wait_for

PROMPT = "one two three four"
ENDLESS = {
    "prompt": "tick tock",
    "model": "steady",
    "max_tokens": 1_000_000,
    "ignore_eos": True,
    "stream": True,
}
RESUMABLE = {"X-Stream-Resumable": "1"}


@contextmanager
def endless(service: ServiceProcess, key: str | None = None, **headers: str) -> Iterator[httpx.Response]:
    """A stream that runs until it is ended, of which the first token has come."""
    headers = bearer(key) | headers
    with service.http.stream("POST", "/v1/completions", json=ENDLESS, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        own = answer.headers["X-Stream-Id"]
        service.wait_for_metrics(
            lambda m: any(s["id"] == own and s["tokens"] for s in m["current_streams"]), key
        )
        yield answer


def finished_stream(service: ServiceProcess, path: str = "/generate_stream", **body: Any) -> httpx.Response:
    return service.http.post(path, json={"prompt": PROMPT} | body, headers=RESUMABLE)


def blocks(answer: httpx.Response) -> list[bytes]:
    """The events of an SSE body, as they were sent, but for the one-time `retry:`."""
    return [block.partition(b"retry: 2000\n")[2] or block for block in answer.content.split(b"\n\n") if block]


@pytest.mark.parametrize("place", ["header", "query"])
@pytest.mark.parametrize("after", range(7))
def test_resume_after_every_event(service: ServiceProcess, after: int, place: str) -> None:
    first = finished_stream(service)
    ids = (
        {"headers": {"Last-Event-ID": str(after)}}
        if place == "header"
        else {"params": {"last_event_id": after}}
    )
    again = service.http.get(f"/streams/{first.headers['X-Stream-Id']}", **ids)  # type: ignore[arg-type]
    assert again.status_code == 200
    assert blocks(again) == blocks(first)[after:]


@pytest.mark.parametrize("path", ["/stream_text", "/safe_stream", "/v1/completions"])
def test_resume_of_every_dialect(service: ServiceProcess, path: str) -> None:
    first = finished_stream(service, path, stream=True)
    for place, block in enumerate(blocks(first)):
        if block.startswith(b"id: "):
            after = block.partition(b"\n")[0][4:].decode()
            again = service.http.get(
                f"/streams/{first.headers['X-Stream-Id']}", params={"last_event_id": after}
            )
            assert blocks(again) == blocks(first)[place + 1 :]


def test_resume_as_ndjson_and_text(service: ServiceProcess) -> None:
    first = finished_stream(service)
    path, all_objects = f"/streams/{first.headers['X-Stream-Id']}", sse.objects(first.content)
    for after in range(7):
        headers = {"Last-Event-ID": str(after), "Accept": "application/x-ndjson"}
        lines = service.http.get(path, headers=headers).text.splitlines()
        assert [json.loads(line) for line in lines] == all_objects[after:]
        headers = {"Last-Event-ID": str(after), "Accept": "text/plain"}
        text = service.http.get(path, headers=headers).text
        assert text == "".join(item.get("token", "") for item in all_objects[after:])


def test_resume_goes_on_live_beside_the_first_reader(service: ServiceProcess) -> None:
    with endless(service, **RESUMABLE) as first:
        stream_id = first.headers["X-Stream-Id"]
        with httpx.stream("GET", f"{service.url}/streams/{stream_id}", timeout=REQUEST_TIMEOUT_S) as second:
            theirs = sse.events(second)
            seen = [next(theirs).id for _ in range(5)]
            assert seen == ["1", "2", "3", "4", "5"]
            service.http.post(f"/streams/{stream_id}/cancel")
            rest = [event.data for event in theirs]
        mine = [event.data for event in sse.events(first)]
    assert rest[-1] == mine[-1] == "[DONE]"
    assert rest == mine[5:]
    assert json.loads(mine[-2])["choices"][0]["finish_reason"] == "cancelled"


def test_resume_of_the_unknown_is_404(service: ServiceProcess) -> None:
    answer = service.http.get("/streams/st_unknown")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "stream_not_found")


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "9" * 30, "²", "0x1"])
def test_bad_last_event_id_is_400(service: ServiceProcess, value: str) -> None:
    stream_id = finished_stream(service).headers["X-Stream-Id"]
    answer = service.http.get(f"/streams/{stream_id}", params={"last_event_id": value})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "last_event_id")
    assert value[:20] in error["message"]


def test_an_attached_stream_is_gone_with_its_reader(service: ServiceProcess) -> None:
    stream_id = service.http.post("/generate_stream", json={"prompt": PROMPT}).headers["X-Stream-Id"]
    answer = service.http.get(f"/streams/{stream_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "stream_expired")


def test_past_the_retention_window_is_410(strict_service: ServiceProcess) -> None:
    headers = bearer(ALICE) | RESUMABLE
    first = strict_service.http.post("/stream_text", json={"prompt": PROMPT}, headers=headers)
    path = f"/streams/{first.headers['X-Stream-Id']}"
    again = lambda key: strict_service.http.get(path, headers=bearer(key))  # noqa: E731
    wait_for(lambda: again(ALICE).status_code != 200)
    assert again(ALICE).status_code == 410
    error = again(ALICE).json()["error"]
    assert (error["code"], error["type"]) == ("stream_expired", "expired_error")
    assert again(BOB).status_code == 404
    listed = strict_service.http.get("/streams", headers=bearer(ALICE)).json()["streams"]
    assert first.headers["X-Stream-Id"] not in [stream["id"] for stream in listed]


def test_cancel(service: ServiceProcess) -> None:
    with endless(service, **RESUMABLE) as answer:
        path = f"/streams/{answer.headers['X-Stream-Id']}/cancel"
        for _ in range(2):
            cancelled = service.http.post(path)
            assert (cancelled.status_code, cancelled.json()) == (200, {"status": "cancelled"})
        data = sse.objects(answer.iter_bytes())
    assert data[-1]["choices"][0]["finish_reason"] == "cancelled"
    service.wait_idle()


def test_cancel_of_a_chat_stream(service: ServiceProcess) -> None:
    body = {"message": "x " * 1_000, "model": "steady", "max_tokens": 1_000}
    with httpx.stream("POST", f"{service.url}/chat/stream", json=body, timeout=REQUEST_TIMEOUT_S) as answer:
        events = sse.events(answer)
        stream_id = json.loads(next(events).data)["stream_id"]
        next(events)
        assert service.http.post(f"/chat/stream/{stream_id}/cancel").json() == {"status": "cancelled"}
        last = list(events)[-1]
    assert (last.event, last.data) == ("cancelled", "Stream cancelled")


def test_cancel_of_the_finished_is_409_with_the_reason(service: ServiceProcess) -> None:
    stream_id = finished_stream(service).headers["X-Stream-Id"]
    answer = service.http.post(f"/streams/{stream_id}/cancel")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "stop")
    assert "stop" in error["message"]


def test_cancel_of_the_unknown_is_404(service: ServiceProcess) -> None:
    assert service.http.post("/streams/st_unknown/cancel").status_code == 404


def test_a_cut_text_says_so(service: ServiceProcess) -> None:
    """A plain text has no other place for its ending."""
    body = {"message": "x " * 1_000, "model": "steady", "max_tokens": 1_000}
    with httpx.stream(
        "POST", f"{service.url}/chat/stream-simple", json=body, timeout=REQUEST_TIMEOUT_S
    ) as answer:
        text = answer.iter_text()
        read = next(text)
        service.http.post(f"/streams/{answer.headers['X-Stream-Id']}/cancel")
        read += "".join(text)
    assert read.endswith("\n\n[Generation ended: cancelled]")


def test_only_the_own_key_may_read_cancel_and_list(strict_service: ServiceProcess) -> None:
    with endless(strict_service, ALICE) as answer:
        stream_id = answer.headers["X-Stream-Id"]
        for method, path in (("GET", f"/streams/{stream_id}"), ("POST", f"/streams/{stream_id}/cancel")):
            for key, status in ((BOB, 404), (None, 401), ("sk-wrong", 401)):
                assert strict_service.http.request(method, path, headers=bearer(key)).status_code == status
        streams = {
            key: strict_service.http.get("/streams", headers=bearer(key)).json()["streams"]
            for key in (ALICE, BOB)
        }
        own = next(stream for stream in streams[ALICE] if stream["id"] == stream_id)
        assert stream_id not in [stream["id"] for stream in streams[BOB]]
        assert (own["route"], own["model"], own["state"]) == ("/v1/completions", "steady", "running")
        assert own["seq"] > 0 and own["tokens"] > 0 and own["age"] > 0
        cancelled = strict_service.http.post(f"/streams/{stream_id}/cancel", headers={"x-api-key": ALICE})
        assert cancelled.status_code == 200


@pytest.mark.parametrize("path", ["/generate_stream", "/stream_text", "/chat/stream", "/safe_stream"])
def test_deadline_ends_with_what_was_made_and_usage(service: ServiceProcess, path: str) -> None:
    body = {"prompt": "x " * 1_000, "message": "x " * 1_000, "model": "steady", "max_tokens": 1_000}
    answer = service.http.post(path, json=body, headers={"X-Request-Timeout": "1"})
    data = sse.objects(answer.content)
    assert data[-1]["finish_reason"] == "deadline"
    num_tokens = data[-1]["usage"]["completion_tokens"]
    assert 0 < num_tokens < 1_000
    assert sum("token" in item or "text" in item for item in data[:-1]) == num_tokens


def test_deadline_on_openai_routes(service: ServiceProcess) -> None:
    headers = {"X-Request-Timeout": "1"}
    body = ENDLESS | {"stream_options": {"include_usage": True}}
    answer = service.http.post("/v1/completions", json=body, headers=headers)
    data = sse.objects(answer.content)
    assert data[-2]["choices"][0]["finish_reason"] == "deadline"
    assert data[-1]["usage"]["completion_tokens"] == len(data) - 2
    whole = service.http.post("/v1/completions", json=ENDLESS | {"stream": False}, headers=headers).json()
    assert whole["choices"][0]["finish_reason"] == "deadline"
    assert whole["choices"][0]["text"].startswith("tick tock")


@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf", "1e9", ""])
def test_bad_deadlines_are_400(service: ServiceProcess, value: str) -> None:
    answer = service.http.post("/stream_text", json={"prompt": "x"}, headers={"X-Request-Timeout": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "X-Request-Timeout")


def test_keepalive_comments_while_nothing_is_made(strict_service: ServiceProcess) -> None:
    """Bob waits behind Alice; each comment has one newline, so that no empty event is dispatched."""
    with endless(strict_service, ALICE) as first:
        body = {"prompt": "b", "model": "steady"}
        url = f"{strict_service.url}/stream_text"
        with httpx.stream("POST", url, json=body, headers=bearer(BOB), timeout=REQUEST_TIMEOUT_S) as second:
            read = b""
            raw = second.iter_raw()
            while read.count(b": keep-alive\n") < 3:
                read += next(raw)
            assert read == b": keep-alive\n" * read.count(b"\n")
            strict_service.http.post(f"/streams/{first.headers['X-Stream-Id']}/cancel", headers=bearer(ALICE))
            read += b"".join(raw)
    assert [event.id for event in sse.decode(read)] == ["1", "2"]
