"""A service that is quick to notice what goes wrong, for tests that make it go wrong."""

from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess

FRAGILE = """
[http]
keepalive_interval_s = 0.8
write_timeout_s = 3.0
send_buffer_bytes = 4_096

[streams]
max_unread_bytes = 32_768
low_unread_bytes = 8_192
join_unread_bytes = 2_048
max_log_bytes = 262_144
stall_timeout_s = 2.0
resume_ttl = 2.0
retry_backoff_s = 0.05

[workers]
heartbeat_s = 0.1
hang_timeout_s = 5.0
restart_backoff_s = 0.05
max_restart_backoff_s = 0.2
stop_timeout_s = 2.0

[model_defaults]
engine = "echo"

[models.echo]
path = "echo"

[models.steady]
path = "echo@20"
max_num_seqs = 1

[models.slow]
path = "echo@1"
"""


@pytest.fixture(scope="session")
def fragile_config(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("fragile") / "sluice.toml"
    path.write_text(FRAGILE)
    return str(path)


@pytest.fixture(scope="session")
def started_fragile_service(
    tmp_path_factory: pytest.TempPathFactory, fragile_config: str
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("fragile_service")
    with ServiceProcess(folder, "--config", fragile_config) as service:
        yield service
        assert service.stop() == 0


@pytest.fixture
def service(started_fragile_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """Models `echo` (fast), `steady` (20 steps a second, one job at a time) and `slow` (one a second).

    Before and after each test all workers are up; after it nothing runs and one more is served.
    """
    started_fragile_service.wait_ready()
    yield started_fragile_service
    started_fragile_service.wait_ready()
    started_fragile_service.check_serves()
