"""Past every limit there is a status, a field, a value and, where it helps, a time to come back."""

from contextlib import ExitStack
from typing import Any

import pytest

from tests.contract.conftest import ALICE, BOB
from tests.contract.test_streams import endless
from tests.service_process import ServiceProcess, bearer


def refused(
    service: ServiceProcess, path: str, body: dict[str, Any], key: str = ALICE
) -> tuple[int, dict[str, Any]]:
    answer = service.http.post(path, json=body, headers=bearer(key))
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error


def chat(num_messages: int, content: str = "x", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}] * num_messages} | fields


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "words"),
    [
        ("/stream_text", {"prompt": "x" * 1_001}, 422, "prompt", ["1001", "1000"]),
        ("/chat/stream", {"message": "x" * 1_001}, 422, "message", ["1001", "1000"]),
        ("/v1/completions", {"prompt": ["x" * 600] * 2}, 400, "prompt", ["1200", "1000"]),
        ("/v1/completions", {"prompt": ["x"] * 3}, 400, "prompt", ["3", "2"]),
        ("/v1/completions", {"prompt": "x", "n": 4}, 400, "n", ["4", "3"]),
        ("/v1/chat/completions", chat(5), 400, "messages", ["5", "4"]),
        ("/v1/chat/completions", chat(4, "x" * 300), 400, "messages", ["1200", "1000"]),
        ("/v1/chat/completions", chat(1, "x" + " x" * 100), 400, "prompt", ["101", "100", "echo"]),
        ("/generate_stream", {"prompt": "x" + " x" * 100}, 400, "prompt", ["101", "100", "echo"]),
        ("/generate_stream", {"prompt": "x", "max_tokens": 101}, 422, "max_tokens", ["101", "100", "echo"]),
        ("/v1/completions", {"prompt": "x", "max_tokens": 101}, 400, "max_tokens", ["101", "100", "echo"]),
        (
            "/v1/chat/completions",
            chat(1, max_completion_tokens=101),
            400,
            "max_completion_tokens",
            ["101", "100"],
        ),
        ("/stream_text", {"prompt": "x" * 20_001}, 413, None, ["20000", "max_body_bytes"]),
    ],
)
def test_sizes(
    strict_service: ServiceProcess, path: str, body: dict[str, Any], status: int, param: str, words: list[str]
) -> None:
    got, error = refused(strict_service, path, body)
    assert (got, error["param"]) == (status, param)
    for word in words:
        assert word in error["message"]


def test_a_body_that_does_not_say_its_size_is_bounded_too(strict_service: ServiceProcess) -> None:
    answer = strict_service.http.post(
        "/stream_text", content=(b"x" * 1_000 for _ in range(100)), headers=bearer(ALICE)
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_default_max_tokens(strict_service: ServiceProcess) -> None:
    answer = strict_service.http.post(
        "/v1/completions", json={"prompt": "x " * 50}, headers=bearer(ALICE)
    ).json()
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_streams_per_key_429_and_jobs_per_worker_503(strict_service: ServiceProcess) -> None:
    """Alice has two streams, one running and one waiting; her third is hers to wait for, Bob's ours."""
    strict_service.wait_idle(ALICE)
    with ExitStack() as stack:
        first = stack.enter_context(endless(strict_service, ALICE))
        strict_service.wait_for_metrics(lambda m: m["workers"][1]["jobs"] == 1, ALICE)
        second = stack.enter_context(
            strict_service.http.stream(
                "POST", "/stream_text", json={"prompt": "x", "model": "steady"}, headers=bearer(ALICE)
            )
        )
        for model in ("echo", "steady"):
            answer = strict_service.http.post(
                "/stream_text", json={"prompt": "x", "model": model}, headers=bearer(ALICE)
            )
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (429, "too_many_streams")
            assert (error["type"], answer.headers["Retry-After"]) == ("rate_limit_error", "1")
            assert "2" in error["message"] and "max_streams_per_key" in error["message"]
        answer = strict_service.http.post(
            "/stream_text", json={"prompt": "x", "model": "steady"}, headers=bearer(BOB)
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["type"]) == (503, "queue_full", "overloaded_error")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert "max_waiting" in error["message"]
        assert (
            strict_service.http.post("/stream_text", json={"prompt": "x"}, headers=bearer(BOB)).status_code
            == 200
        )
        assert (first.status_code, second.status_code) == (200, 200)
