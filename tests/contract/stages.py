"""What the tests of the routes for texts and lists share."""

import json
from typing import Any

import httpx

from tests import sse
from tests.service_process import ServiceProcess

TEXT = (
    "I love Köln. 🦊 Anna Schmidt lives there since Monday. "
    "The trains are late, and it rains. She reads a lot."
)
SSE, NDJSON = {"Accept": "text/event-stream"}, {"Accept": "application/x-ndjson"}
PLAIN = {"Accept": "text/plain"}
RESUMABLE = {"X-Stream-Resumable": "1"}
USAGE = {"prompt_tokens", "completion_tokens", "total_tokens", "stages"}


def post(
    service: ServiceProcess, path: str, /, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    return service.http.post(path, json=body, headers=headers or {})


def run(service: ServiceProcess, path: str, /, **body: Any) -> list[dict[str, Any]]:
    """All objects of one call, as SSE."""
    answer = post(service, path, SSE, **body)
    assert answer.status_code == 200, answer.text
    return sse.objects(answer.iter_bytes())


def refused(answer: httpx.Response, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]
