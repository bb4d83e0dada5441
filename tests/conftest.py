"""Started servers, shared between all tests of a run."""

from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess

STEADY_STEPS_PER_S = 50


@pytest.fixture(scope="session")
def echo_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Two echo models: `echo` as fast as it can, `steady` at an even pace. At the end it still serves,
    nothing runs, and it leaves with 0.
    """
    folder = tmp_path_factory.mktemp("echo_service")
    flags = ("--model", "echo", "--set", "model_defaults.engine=echo")
    steady = ("--set", f"models.steady.path=echo@{STEADY_STEPS_PER_S}")
    with ServiceProcess(folder, *flags, *steady) as service:
        yield service
        service.wait_ready()
        service.check_serves()
        assert service.stop() == 0
