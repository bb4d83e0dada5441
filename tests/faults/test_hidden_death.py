"""A worker that is gone while a process it started still holds its pipes: no end-of-file tells of it."""

import json
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests import sse
from tests.faults.streams import opened, worker
from tests.service_process import ServiceProcess

# No clock is to help: neither the one for hung workers nor the one for those that will not leave.
SETTINGS = """
[workers]
heartbeat_s = 0.1
hang_timeout_s = 600.0
stop_timeout_s = 600.0
restart_backoff_s = 0.01

[model_defaults]
engine = "tasks"

[models.tasks]
path = "tests/misbehaving.py"

[models.echo]
engine = "echo"
path = "echo"
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("hidden_death")
    with ServiceProcess(folder, config=SETTINGS) as service:
        yield service
        service.check_serves()
        assert service.stop() == 0


@pytest.mark.parametrize("name", ["leaves_a_child", "forks"])
def test_it_is_noticed_and_replaced(service: ServiceProcess, name: str) -> None:
    before = worker(service, "tasks")
    with opened(service, f"/tasks/{name}", {}, **{"X-Request-Timeout": "20"}) as answer:
        events = [(event.event, json.loads(event.data)) for event in sse.events(answer)]
    child = psutil.Process(next(data for kind, data in events if kind == "item"))
    try:
        assert child.is_running()
        assert [kind for kind, _ in events] == ["start", "item", "error"]
        error = events[-1][1]["error"]
        assert (error["code"], error["retryable"]) == ("worker_lost", True)
        assert "its process ended without a word" in error["message"]
        service.wait_ready()
        after = worker(service, "tasks")
        assert after["restarts"] == before["restarts"] + 1 and after["pid"] != before["pid"]
    finally:
        os.kill(child.pid, signal.SIGKILL)
