"""`kill -9` of the worker, mid-stream: each stream ends once, typed and retryable, or goes on elsewhere."""

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests import sse
from tests.faults.streams import WORDS, kill_worker, opened, signal_worker, wait_tokens, worker
from tests.service_process import ServiceProcess, wait_for

CHAT = {
    "messages": [{"role": "user", "content": WORDS}],
    "model": "steady",
    "stream": True,
    "max_tokens": 10_000,
}
PROMPT = {"prompt": WORDS, "message": WORDS, "model": "steady", "max_tokens": 1_000}


def assert_lost(error: dict[str, Any]) -> None:
    assert (error["code"], error["type"], error["retryable"]) == ("worker_lost", "overloaded_error", True)
    assert "worker was lost" in error["message"]


@pytest.mark.parametrize("path", ["/generate_stream", "/stream_text", "/chat/stream"])
def test_native_streams_end_at_once_with_a_typed_error(service: ServiceProcess, path: str) -> None:
    with opened(service, path, PROMPT) as answer:
        events = sse.events(answer)
        wait_tokens(service)
        kill_worker(service, "steady")
        rest = list(events)
    assert [event.event for event in rest].count("error") == 1
    body = json.loads(rest[-1].data)
    assert_lost(body["error"])
    assert body["usage"]["completion_tokens"] == sum(
        '"token' in e.data or '"text"' in e.data for e in rest[:-1]
    )


def test_openai_streams_end_with_error_and_done(service: ServiceProcess) -> None:
    with opened(service, "/v1/chat/completions", CHAT) as answer:
        wait_tokens(service)
        kill_worker(service, "steady")
        rest = [event.data for event in sse.events(answer)]
    assert rest[-1] == "[DONE]" and rest.count("[DONE]") == 1
    body = json.loads(rest[-2])
    assert_lost(body["error"])
    assert body["usage"]["completion_tokens"] > 0
    assert sum("error" in data for data in rest) == 1
    assert all(json.loads(data)["choices"][0]["finish_reason"] is None for data in rest[:-2])


def test_ndjson_and_text_say_it_last(service: ServiceProcess) -> None:
    for kind in ("application/x-ndjson", "text/plain"):
        with opened(service, "/stream_text", PROMPT, Accept=kind) as answer:
            wait_tokens(service)
            kill_worker(service, "steady")
            text = answer.read().decode()
        if kind == "text/plain":
            assert "\n\n[Error: the worker was lost" in text
        else:
            assert_lost(json.loads(text.splitlines()[-1])["error"])
        service.wait_ready()


def test_whole_answers_are_503(service: ServiceProcess) -> None:
    answers = []

    def ask() -> None:
        answers.append(service.http.post("/v1/chat/completions", json=CHAT | {"stream": False}))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: worker(service, "steady")["jobs"] and worker(service, "steady")["stats"]["num_running"])
    kill_worker(service, "steady")
    asking.join()
    error = answers[0].json()["error"]
    assert (answers[0].status_code, error["code"], error["type"]) == (503, "worker_lost", "overloaded_error")
    assert answers[0].headers["Retry-After"]


def test_only_its_own_streams_are_lost(service: ServiceProcess) -> None:
    with opened(service, "/stream_text", PROMPT) as steady:
        body = {"prompt": " ".join(WORDS.split()[:8]), "model": "slow", "stream": True}
        with opened(service, "/v1/completions", body) as neighbour:
            wait_tokens(service, 2, 1)
            kill_worker(service, "steady")
            assert b"worker_lost" in steady.read()
            data = sse.objects(neighbour.iter_bytes())
    assert "".join(item["choices"][0]["text"] for item in data) == body["prompt"]
    assert data[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_worker_is_back_and_counted(service: ServiceProcess) -> None:
    before = worker(service, "steady")
    killed = kill_worker(service, "steady")
    service.wait_for_metrics(lambda m: killed not in [w["pid"] for w in m["workers"]])
    service.wait_ready()
    after = worker(service, "steady")
    assert after["restarts"] == before["restarts"] + 1
    assert after["error"] is None
    assert service.http.post("/stream_text", json={"prompt": "x", "model": "steady"}).status_code == 200


def test_while_no_worker_is_there_503_says_so(service: ServiceProcess) -> None:
    """Stopped in mid-load, its replacement keeps the place empty."""
    kill_worker(service, "echo")
    seen = set()
    while 503 not in seen:
        answer = service.http.post("/stream_text", json={"prompt": "x"})
        seen.add(answer.status_code)
        if answer.status_code == 503:
            assert answer.json()["error"]["code"] in ("model_not_ready", "worker_lost")
            assert answer.headers["Retry-After"]
        elif worker(service, "echo")["state"] == "ready":
            kill_worker(service, "echo")


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("token") or "" for event in events)


def test_safe_stream_goes_on_where_it_was(service: ServiceProcess) -> None:
    body = PROMPT | {"prompt": " ".join(WORDS.split()[:100])}
    with opened(service, "/safe_stream", body) as answer:
        events = sse.events(answer)
        data = []
        for _ in range(2):
            data += [json.loads(next(events).data) for _ in range(6)]
            kill_worker(service, "steady")
        data += [json.loads(event.data) for event in events]
    assert text_of(data) == body["prompt"]
    retries = [event for event in data if event.get("type") == "retry"]
    assert [(r["attempt"], r["max_retries"]) for r in retries] == [(1, 3), (2, 3)]
    assert "worker was lost" in retries[0]["error"]
    counts = [event["generated_tokens"] for event in data if event.get("token")]
    assert counts == list(range(1, 101))
    assert data[-1]["usage"] == {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}
    assert sum(event.get("is_complete", False) for event in data) == 1


def test_safe_stream_says_when_its_retries_are_spent(service: ServiceProcess) -> None:
    with opened(service, "/safe_stream", PROMPT | {"max_retries": 1}) as answer:
        data = []
        for event in sse.events(answer):
            data.append(json.loads(event.data))
            if len(data) in (5, 10):
                kill_worker(service, "steady")
    assert [event["type"] for event in data if "type" in event] == ["retry", "error"]
    assert data[-1]["error_type"] == "worker_lost"
    assert "worker was lost" in data[-1]["error"]


def test_a_client_who_leaves_during_a_retry_leaves_no_job(service: ServiceProcess) -> None:
    """The replacement is held up while it loads, so that the job waits for it when its client goes."""
    tokens = service.metrics()["tokens"].get("steady", 0)
    with opened(service, "/safe_stream", PROMPT) as answer:
        wait_tokens(service)
        killed = kill_worker(service, "steady")
        wait_for(lambda: worker(service, "steady")["pid"] != killed)
        loading = kill_worker(service, "steady", signal.SIGSTOP)
        raw, read = answer.iter_raw(), b""
        # The back-off is shorter than a keep-alive's interval.
        while b": keep-alive" not in read.partition(b'"retry"')[2]:
            read += next(raw)
    service.wait_for_metrics(lambda m: m["active_streams"] == 0)
    signal_worker(loading, signal.SIGCONT)
    service.wait_ready()
    # One at a time: a job of nobody's would run before this one.
    body, patience = {"prompt": "a b c", "model": "steady"}, {"X-Request-Timeout": "10"}
    assert '"finish_reason":"stop"' in service.http.post("/stream_text", json=body, headers=patience).text
    assert worker(service, "steady")["jobs"] == 0
    assert service.metrics()["tokens"]["steady"] < tokens + len(WORDS.split())


def test_a_hung_worker_is_killed_and_replaced(service: ServiceProcess) -> None:
    with opened(service, "/generate_stream", PROMPT) as answer:
        events = sse.events(answer)
        next(events)
        stopped = kill_worker(service, "steady", signal.SIGSTOP)
        last = list(events)[-1]
    assert_lost(json.loads(last.data)["error"])
    assert "hang_timeout_s" in last.data
    service.wait_ready()
    assert worker(service, "steady")["pid"] != stopped
    wait_for(lambda: not Path(f"/proc/{stopped}").exists())


def test_readyz_tells_when_tokens_do_not_flow(service: ServiceProcess) -> None:
    with opened(service, "/stream_text", PROMPT):
        wait_tokens(service)
        stopped = kill_worker(service, "steady", signal.SIGSTOP)
        answer = wait_for(lambda: (a := service.http.get("/readyz")).status_code == 503 and a)
        assert any("steady" in reason for reason in answer.json()["reasons"])
        signal_worker(stopped, signal.SIGCONT)
        service.wait_ready()


def test_what_cannot_load_is_said_clearly_and_the_service_lives(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-model")
    service = ServiceProcess(tmp_path, "--model", missing, "--set", "workers.restart_backoff_s=60")
    service.start(wait_ready=False)
    try:
        lost = service.wait_for_log("worker lost")
        assert missing in lost["message"] and len(lost["message"].splitlines()) == 1
        answer = service.http.get("/readyz")
        assert answer.status_code == 503
        assert missing in answer.json()["reasons"][0]
        assert service.http.get("/healthz").status_code == 200
        refused = service.http.post("/stream_text", json={"prompt": "x"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_not_ready")
        assert missing in refused.json()["error"]["message"]
        assert refused.headers["Retry-After"]
    finally:
        assert service.stop() == 0
