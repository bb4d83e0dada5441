"""Services for the official clients: one open, one with keys, tiny limits and an eager keep-alive."""

from collections.abc import Iterator

import pytest

from tests.contract.conftest import STRICT
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def service(echo_service: ServiceProcess) -> Iterator[ServiceProcess]:
    yield echo_service
    echo_service.check_serves()


@pytest.fixture(scope="module")
def strict_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The contract's strict service, with a worker that is quickly replaced."""
    folder = tmp_path_factory.mktemp("strict_e2e")
    with ServiceProcess(folder, "--set", "workers.restart_backoff_s=0.05", config=STRICT) as service:
        yield service
        service.check_serves("sk-alice")
        assert service.stop() == 0


@pytest.fixture(scope="package")
def shipped_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """What `scripts/serve` starts: the default settings, the embedded models."""
    with ServiceProcess(tmp_path_factory.mktemp("shipped")) as service:
        yield service
        answer = service.http.post("/generate-stream", json={"prompt": "Hello!", "max_tokens": 40})
        assert answer.text.endswith("[Generation complete]")
        service.wait_idle()
        assert service.stop() == 0
