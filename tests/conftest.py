"""Started servers, shared between all tests of a run."""

from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess


@pytest.fixture(scope="session")
def echo_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with one echo worker, model "echo". At the end it still serves, and leaves with 0."""
    folder = tmp_path_factory.mktemp("echo_service")
    service = ServiceProcess(folder, "--model", "echo", "--set", "model_defaults.engine=echo").start()
    yield service
    service.wait_ready()
    assert service.metrics()["active_streams"] == 0
    assert service.stop() == 0
