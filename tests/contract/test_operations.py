"""What operators and browsers ask: health, metrics, the API's description, CORS, request ids."""

import json
import re
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from service.routes import ROUTES
from tests.contract.conftest import ALICE
from tests.service_process import ServiceProcess, bearer

NAMES = {
    "sluice_time_to_first_token_seconds": "histogram",
    "sluice_inter_token_latency_seconds": "histogram",
    "sluice_queue_time_seconds": "histogram",
    "sluice_streams": "counter",
    "sluice_tokens": "counter",
    "sluice_streams_ended": "counter",
    "sluice_active_streams": "gauge",
    "sluice_open_sockets": "gauge",
    "sluice_tasks": "gauge",
    "sluice_paused_jobs": "gauge",
    "sluice_unread_bytes": "gauge",
    "sluice_log_bytes": "gauge",
    "sluice_feed_readers": "gauge",
    "sluice_feed_buffered_items": "gauge",
    "sluice_worker_up": "gauge",
    "sluice_worker_jobs": "gauge",
    "sluice_worker_unsent_bytes": "gauge",
    "sluice_running_sequences": "gauge",
    "sluice_waiting_sequences": "gauge",
    "sluice_cache_usage_ratio": "gauge",
    "sluice_shared_prompt_tokens": "counter",
    "sluice_drafted_tokens": "counter",
    "sluice_accepted_draft_tokens": "counter",
    "sluice_worker_restarts": "counter",
}


def test_health(service: ServiceProcess) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok"}
    assert service.http.get("/readyz").json() == {"status": "ready"}
    assert service.http.head("/healthz").status_code == 200


def test_metrics_as_json(service: ServiceProcess) -> None:
    service.wait_idle()
    before = service.metrics()
    service.http.post("/stream_text", json={"prompt": "a b c"})
    service.wait_idle()
    metrics = service.metrics()
    assert metrics["active_streams"] == 0
    assert metrics["current_streams"] == []
    assert metrics["avg_duration"] > 0
    assert metrics["total_streams"] == before["total_streams"] + 1
    assert metrics["tokens"]["echo"] == before["tokens"].get("echo", 0) + 3
    assert metrics["ended"]["stop"] == before["ended"].get("stop", 0) + 1
    assert [worker["state"] for worker in metrics["workers"]] == ["ready"] * 2


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("text/plain", text_string_to_metric_families),
        ("application/openmetrics-text; version=1.0.0", openmetrics.text_string_to_metric_families),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            openmetrics.text_string_to_metric_families,
        ),
    ],
)
def test_metrics_as_prometheus_reads_them(service: ServiceProcess, accept: str, parse: Any) -> None:
    service.http.post("/stream_text", json={"prompt": "a b c"})
    answer = service.http.get("/metrics", headers={"Accept": accept})
    families = {family.name: family for family in parse(answer.text)}
    assert {name: families[name].type for name in NAMES} == NAMES
    ttft = families["sluice_time_to_first_token_seconds"].samples
    counts = [sample.value for sample in ttft if sample.name.endswith("_bucket")]
    assert counts == sorted(counts)
    assert counts[-1] == next(sample.value for sample in ttft if sample.name.endswith("_count")) > 0
    assert next(s.value for s in families["sluice_worker_up"].samples if s.labels["model"] == "echo") == 1


def test_openapi_describes_every_route(service: ServiceProcess) -> None:
    document = service.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] and document["info"]["version"]
    for route in ROUTES:
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        operation = document["paths"][path][route.method.lower()]
        answers = operation["responses"]
        assert operation["summary"] and all(answer["description"] for answer in answers.values())
        media = set(answers.get("200", {}).get("content", {}))
        assert media | ({"websocket"} if "101" in answers else set()) == set(route.media)
        in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert in_path == re.findall(r"\{(\w+)\}", path)
        assert ("requestBody" in operation) == (route.method == "POST" and route.params is not None)


def test_openapi_is_consistent(service: ServiceProcess) -> None:
    document = service.http.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for place in re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)):
        target = document
        for step in place.split("/"):
            target = target[step]
    assert document["components"]["schemas"]["GenerateParams"]["properties"]["max_tokens"]["default"] == 100


def test_request_ids_are_kept_when_they_are_fit_for_a_log(service: ServiceProcess) -> None:
    for path in ("/healthz", "/no-such", "/stream_text?prompt=x"):
        answer = service.http.get(path, headers={"X-Request-Id": "abc-1.2:x"})
        assert answer.headers["X-Request-Id"] == "abc-1.2:x"
        for unfit in (b"has space", b"x" * 200, b'quote"d', "ünïcode".encode(), b""):
            answer = service.http.get(path, headers=[(b"X-Request-Id", unfit)])
            assert re.fullmatch(r"req_[0-9a-f]{16}", answer.headers["X-Request-Id"])
    ids = [service.http.get("/healthz").headers["X-Request-Id"] for _ in range(2)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "path", ["/healthz", "/no-such", "/stream_text", "/stream_text?prompt=x", "/v1/models/x"]
)
def test_cors_on_good_and_bad_answers(service: ServiceProcess, path: str) -> None:
    answer = service.http.get(path, headers={"Origin": "https://a.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Stream-Id" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in service.http.get(path).headers


def test_cors_preflight(strict_service: ServiceProcess) -> None:
    """A browser sends no key with it."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-a"}
    answer = strict_service.http.options("/stream_text", headers=asked | {"Origin": "https://app.example"})
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-a"
    answer = strict_service.http.options("/stream_text", headers=asked | {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("headers", [{}, bearer("sk-wrong"), {"Authorization": "Basic x"}, {"x-api-key": ""}])
def test_without_a_key_401_with_cors(strict_service: ServiceProcess, headers: dict[str, str]) -> None:
    answer = strict_service.http.post(
        "/stream_text", json={"prompt": "x"}, headers=headers | {"Origin": "https://app.example"}
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (
        401,
        "authentication_error",
        "invalid_api_key",
    )
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer.headers["X-Request-Id"]


def test_open_routes_need_no_key(strict_service: ServiceProcess) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert strict_service.http.get(path).status_code == 200
    assert strict_service.http.get("/metrics").status_code == 401
    assert strict_service.http.get("/metrics", headers={"x-api-key": ALICE}).status_code == 200
