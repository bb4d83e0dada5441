"""A service whose tokens come at an even pace, so that what waits for them can be told."""

from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess

STEPS_PER_S = 20
PACED_MODELS = f"""
[models.steady]
engine = "echo"
path = "echo@{STEPS_PER_S}"

[models.clock]
engine = "echo"
path = "clock@{STEPS_PER_S}"
"""


@pytest.fixture(scope="session")
def paced_config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a config file: `steady` gives the prompt back, `clock` the time of each step."""
    path = tmp_path_factory.mktemp("paced_config") / "sluice.toml"
    path.write_text(PACED_MODELS)
    return str(path)


@pytest.fixture(scope="session")
def paced_service(tmp_path_factory: pytest.TempPathFactory, paced_config: str) -> Iterator[ServiceProcess]:
    """Both models. At the end it still serves, nothing runs, and it leaves with 0."""
    with ServiceProcess(tmp_path_factory.mktemp("paced_service"), "--config", paced_config) as service:
        yield service
        service.wait_ready()
        service.wait_idle()
        assert service.stop() == 0
