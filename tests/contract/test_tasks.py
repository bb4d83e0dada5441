"""`/tasks`: users' generators as streams, and how each kind of misbehaviour ends its own stream only."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import httpx
import pytest

from tests import sse
from tests.contract.raw import connect
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess, wait_for

SETTINGS = """
[workers]
heartbeat_s = 0.2
hang_timeout_s = 4.0
restart_backoff_s = 0.01

[model_defaults]
engine = "tasks"

[models.good]
path = "examples/dataset.py"

[models.bad]
path = "tests/misbehaving.py"

[models.echo]
engine = "echo"
path = "echo@50"
"""
RESUMABLE = {"X-Stream-Resumable": "1"}
NDJSON, TEXT = {"Accept": "application/x-ndjson"}, {"Accept": "text/plain"}
CSV = "city,people,area\nUlm,100,10\nBonn,300,\nKöln,1100,30\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The example's tasks, the misbehaving ones, and an echo model, each with a worker of its own."""
    folder = tmp_path_factory.mktemp("tasks_service")
    with ServiceProcess(folder, config=SETTINGS) as service:
        yield service
        service.wait_ready()
        service.check_serves()
        assert run(service, "count", n=1)[-1] == ("complete", complete(1))
        assert service.stop() == 0


def post(service: ServiceProcess, name: str, /, **params: Any) -> httpx.Response:
    headers = params.pop("headers", {})
    return service.http.post(f"/tasks/{name}", json=params, headers=headers)


def run(service: ServiceProcess, name: str, /, **params: Any) -> list[tuple[str | None, Any]]:
    """All events of one call, as names and data."""
    answer = post(service, name, **params)
    assert answer.status_code == 200, answer.text
    return [(event.event, json.loads(event.data)) for event in sse.events(answer)]


def complete(num_items: int, reason: str = "completed") -> dict[str, Any]:
    return {"status": reason, "items": num_items, "finish_reason": reason}


def of(name: str, events: list[tuple[str | None, Any]]) -> list[Any]:
    return [data for event, data in events if event == name]


def test_events_in_order(service: ServiceProcess) -> None:
    answer = post(service, "count", n=2)
    events = list(sse.events(answer))
    assert [event.id for event in events] == ["1", "2", "3", "4", "5", "6"]
    assert [(event.event, json.loads(event.data)) for event in events] == [
        ("start", {"stream_id": answer.headers["X-Stream-Id"]}),
        ("progress", {"done": 1, "total": 2, "progress": 0.5}),
        ("item", 0),
        ("progress", {"done": 2, "total": 2, "progress": 1.0}),
        ("item", 1),
        ("complete", complete(2)),
    ]


def test_values_in_every_framing(service: ServiceProcess) -> None:
    values = [None, True, "a\nb", "🦊", 1.5, [1, "x"], {"k": {}}, {"n": 2}, {"a": 1}, "eHk="]
    assert of("item", run(service, "values")) == values
    lines = post(service, "values", headers=NDJSON).text.split("\n")
    assert [json.loads(line) for line in lines[1:-2]] == values
    text = post(service, "values", headers=TEXT).content.decode()
    assert text == 'null\ntrue\na\nb🦊1.5\n[1,"x"]\n{"k":{}}\n{"n":2}\n{"a":1}\neHk='


def test_the_example_processes_a_dataset(service: ServiceProcess) -> None:
    events = run(service, "dataset", csv=CSV, chunk_size=2)
    assert [progress["progress"] for progress in of("progress", events)] == [0.75, 1.0, 1.0]
    first, second, last = of("item", events)
    assert (first["rows"], second["rows"], last["rows"]) == (2, 3, 3)
    assert first["figures"]["people"] == {"count": 2, "mean": 200, "deviation": 100, "min": 100, "max": 300}
    assert first["figures"]["area"]["count"] == second["figures"]["area"]["count"] == 1
    assert last["total"].keys() == {"people", "area"}
    values = [float(i * i % 97) for i in range(1_000)]
    total = of("item", run(service, "dataset", values=values, chunk_size=7))[-1]["total"]["value"]
    assert total["count"] == 1_000
    assert total["mean"] == pytest.approx(fmean(values))
    assert total["deviation"] == pytest.approx(pstdev(values))


def test_the_example_counts_words(service: ServiceProcess) -> None:
    first, last = of("item", run(service, "words", text="The fox, the lantern and the fox", chunk_size=4))
    assert first == {"words": 4, "top": [["fox", 1], ["lantern", 1]]}
    assert last == {"words": 7, "top": [["fox", 2], ["lantern", 1]]}


def test_tasks_are_listed_and_described(service: ServiceProcess) -> None:
    tasks = {task["name"]: task for task in service.http.get("/tasks").json()["tasks"]}
    assert {"dataset", "words", "count", "raises"} <= tasks.keys()
    assert (tasks["dataset"]["model"], tasks["count"]["model"]) == ("good", "bad")
    assert tasks["dataset"]["description"] == "Figures of each column, chunk by chunk, then of the whole."
    assert "chunk_size" in tasks["dataset"]["params"]["$defs"]["DatasetParams"]["properties"]
    document = service.http.get("/openapi.json").json()
    operation = document["paths"]["/tasks/dataset"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/task.dataset.DatasetParams"}
    assert "chunk_size" in document["components"]["schemas"]["task.dataset.DatasetParams"]["properties"]
    assert "text/event-stream" in operation["responses"]["200"]["content"]
    assert {"/tasks", "/tasks/{name}", "/tasks/raises"} <= document["paths"].keys()
    ids = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))


def test_an_unknown_task_is_404_with_those_that_exist(service: ServiceProcess) -> None:
    answer = post(service, "nope")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "task_not_found", "name")
    assert "'nope'" in error["message"] and "dataset, words, count" in error["message"]


@pytest.mark.parametrize(
    ("name", "body", "status", "param", "words"),
    [
        ("dataset", b'{"values": [1], "chunk_size": 0}', 400, "chunk_size", ">= 1, not 0"),
        ("dataset", b'{"values": [1, "x"]}', 400, "values[1]", 'not "x"'),
        ("dataset", b"{}", 400, None, "send either values or csv"),
        ("words", b"", 400, "text", "required, but missing"),
        ("words", b'{"text": ', 400, None, "not valid JSON"),
        ("words", b'{"text": "\xff"}', 400, None, "not valid JSON"),
        ("words", b"[" * 50_000, 400, None, "nested too deeply"),
    ],
)
def test_bad_params_are_refused_before_the_first_byte(
    service: ServiceProcess, name: str, body: bytes, status: int, param: str | None, words: str
) -> None:
    answer = service.http.post(f"/tasks/{name}", content=body, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert words in error["message"]


def test_a_body_that_is_no_json_is_415(service: ServiceProcess) -> None:
    assert service.http.post("/tasks/count", data={"n": "3"}).status_code == 415


def test_tasks_are_no_models(service: ServiceProcess) -> None:
    assert [model["id"] for model in service.http.get("/v1/models").json()["data"]] == ["echo"]
    answer = service.http.post("/stream_text", json={"prompt": "x", "model": "good"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "model_not_found")
    assert "there is: echo" in error["message"]


def test_resume_after_every_event(service: ServiceProcess) -> None:
    first = post(service, "count", n=3, headers=RESUMABLE)
    events = [(event.id, event.event, event.data) for event in sse.events(first)]
    for after in range(len(events) + 1):
        path = f"/streams/{first.headers['X-Stream-Id']}"
        again = service.http.get(path, headers={"Last-Event-ID": str(after)})
        assert [(event.id, event.event, event.data) for event in sse.events(again)] == events[after:]


def flood(service: ServiceProcess, path: Path) -> Any:
    """A stream that runs until it is ended, and then leaves a file."""
    return httpx.stream(
        "POST", f"{service.url}/tasks/floods", json={"path": str(path)}, timeout=REQUEST_TIMEOUT_S
    )


def test_cancel_closes_the_task(service: ServiceProcess, tmp_path: Path) -> None:
    path = tmp_path / "left"
    with flood(service, path) as answer:
        events = sse.events(answer)
        stream_id = json.loads(next(events).data)["stream_id"]
        next(events)
        listed = service.http.get("/streams").json()["streams"]
        own = next(stream for stream in listed if stream["id"] == stream_id)
        assert own["items"] > 0 and own["route"] == "/tasks/floods"
        assert service.http.post(f"/streams/{stream_id}/cancel").json() == {"status": "cancelled"}
        last = list(events)[-1]
    data = json.loads(last.data)
    assert (last.event, data["finish_reason"]) == ("complete", "cancelled") and data["items"] > 0
    wait_for(path.exists)
    service.wait_idle()


def test_the_client_goes_and_the_task_is_closed(service: ServiceProcess, tmp_path: Path) -> None:
    path = tmp_path / "left"
    with flood(service, path) as answer:
        next(sse.events(answer))
    wait_for(path.exists)
    service.wait_idle()


def test_a_flood_is_held_for_its_reader_alone(service: ServiceProcess, tmp_path: Path) -> None:
    """A reader that stalls has his task paused; its neighbours on the same worker go on."""
    path = tmp_path / "left"
    body = json.dumps({"path": str(path)}).encode()
    head = b"POST /tasks/floods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with closing(connect(service.url, 4_096)) as client:
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        service.wait_for_metrics(lambda m: m["paused_streams"] == 1)
        assert service.metrics()["unread_bytes"] < 4 << 20
        assert of("item", run(service, "count", n=50)) == list(range(50))
        assert not path.exists()
    wait_for(path.exists)
    service.wait_idle()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("raises", "task_failed", "ValueError: the disk is full"),
        ("exits", "task_failed", "SystemExit: good bye"),
        ("surrogate", "task_bad_value", "item 2 cannot be sent as JSON"),
        ("too_large", "task_bad_value", "yield it in parts"),
    ],
)
def test_a_fault_ends_its_own_stream(service: ServiceProcess, name: str, code: str, words: str) -> None:
    pids = service.worker_pids()
    answer = post(service, name)
    events = [(event.event, json.loads(event.data)) for event in sse.events(answer)]
    assert [event for event, _ in events] == ["start", "item", "error"]
    data = events[-1][1]
    error = data["error"]
    assert (error["code"], error["type"], error["retryable"]) == (code, "server_error", False)
    assert words in error["message"] and data["items"] == 1
    job = next(line for line in service.log_lines() if line.get("stream") == answer.headers["X-Stream-Id"])
    faults = [line for line in service.log_lines() if line.get("task") == name and "traceback" in line]
    assert job["job"] in [line["job"] for line in faults]
    assert service.worker_pids() == pids
    lines = post(service, name, headers=NDJSON).text.splitlines()
    assert json.loads(lines[-1])["error"]["code"] == code
    assert words in post(service, name, headers=TEXT).content.decode("utf-8")


def test_a_task_that_blocks_is_replaced_with_its_worker(service: ServiceProcess, tmp_path: Path) -> None:
    """Its worker's streams end as `worker_lost`, retryable; another worker does not notice."""
    before = {worker["model"]: worker for worker in service.metrics()["workers"]}
    endless = {"prompt": "tick tock", "max_tokens": 1_000_000, "ignore_eos": True, "stream": True}
    with (
        flood(service, tmp_path / "left") as other,
        httpx.stream(
            "POST", f"{service.url}/v1/completions", json=endless, timeout=REQUEST_TIMEOUT_S
        ) as elsewhere,
    ):
        its = sse.events(elsewhere)
        next(its)
        events = run(service, "blocks")
        assert [name for name, _ in events] == ["start", "item", "error"]
        error = events[-1][1]["error"]
        assert (error["code"], error["retryable"]) == ("worker_lost", True)
        assert "no word for 4.0 s (workers.hang_timeout_s)" in error["message"]
        last = list(sse.events(other))[-1]
        error = json.loads(last.data)["error"]
        assert (last.event, error["code"], error["retryable"]) == ("error", "worker_lost", True)
        for _ in range(5):
            assert "choices" in json.loads(next(its).data)
    service.wait_ready()
    assert of("item", run(service, "count", n=2)) == [0, 1]
    after = {worker["model"]: worker for worker in service.metrics()["workers"]}
    restarts = {model: after[model]["restarts"] - before[model]["restarts"] for model in after}
    assert restarts == {"good": 0, "bad": 1, "echo": 0}
    assert (after["good"]["pid"], after["echo"]["pid"]) == (before["good"]["pid"], before["echo"]["pid"])


def test_deadline(service: ServiceProcess, tmp_path: Path) -> None:
    path = tmp_path / "left"
    answer = post(service, "floods", path=str(path), headers={"X-Request-Timeout": "1"})
    last = sse.objects(answer.content)[-1]
    assert last["finish_reason"] == "deadline" and last["items"] > 0
    wait_for(path.exists)


def test_tasks_are_closed_when_the_service_leaves(tmp_path: Path) -> None:
    path, flags = tmp_path / "left", ("--set", "http.drain_timeout_s=0")
    with ServiceProcess(tmp_path, *flags, config=SETTINGS) as service, flood(service, path) as answer:
        events = sse.events(answer)
        next(events)
        service.process.terminate()
        assert json.loads(list(events)[-1].data)["finish_reason"] == "drained"
        assert service.wait_end() == 0
    assert path.read_text() == "closed"


def test_items_are_counted(service: ServiceProcess) -> None:
    before = service.metrics()["items"].get("bad", 0)
    run(service, "count", n=7)
    assert service.metrics()["items"]["bad"] == before + 7
    text = service.http.get("/metrics", headers={"Accept": "text/plain"}).text
    assert 'sluice_items_total{model="bad"}' in text


def test_a_module_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import no_such_module\n")
    flags = ("--model", "own", "--set", "model_defaults.engine=tasks")
    service = ServiceProcess(tmp_path, *flags, "--set", f"models.own.path={tmp_path / 'own.py'}")
    service.start(wait_ready=False)
    try:
        line = service.wait_for_log("worker lost")
        assert "cannot import" in line["message"] and "No module named 'no_such_module'" in line["message"]
        answer = service.http.post("/tasks/own", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_ready")
        assert answer.headers["Retry-After"]
        answer = service.http.post("/stream_text", json={"prompt": "x"})
        assert "no model that answers prompts" in answer.json()["error"]["message"]
    finally:
        assert service.stop() == 0
