"""Services whose modules end with nothing running and one more request served."""

from collections.abc import Iterator

import pytest

from tests.service_process import ServiceProcess

ALICE, BOB = "sk-alice", "sk-bob"
STRICT = """
[http]
max_body_bytes = 20_000
cors_origins = ["https://app.example"]
keepalive_interval_s = 0.05

[sockets]
max_message_bytes = 2_048
low_unsent_bytes = 1_024
max_sockets = 4
max_sockets_per_key = 2

[auth]
keys = { alice = "sk-alice", bob = "sk-bob" }

[limits]
max_streams_per_key = 2
max_prompt_chars = 1_000
max_messages = 4
max_choices = 3
max_prompts = 2
default_max_tokens = 5
max_timeout_s = 100

[streams]
retention_s = 0.5

[model_defaults]
engine = "echo"

[models.echo]
path = "echo"
max_model_len = 100

[models.steady]
path = "echo@20"
max_num_seqs = 1
max_waiting = 1
"""

CHOOSY = (
    "--model=echo",
    "--set=model_defaults.engine=echo",
    f"--set=auth.keys={{alice='{ALICE}', bob='{BOB}'}}",
    "--set=auth.allow_query_token=true",
    "--set=sockets.same_client=refuse",
    "--set=sockets.compress=true",
    "--set=sockets.max_message_bytes=2048",
)


@pytest.fixture(scope="module")
def service(echo_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """Default settings, no keys, models `echo` and `steady`."""
    yield echo_service
    echo_service.check_serves()


@pytest.fixture(scope="session")
def started_strict_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("strict_service")
    with ServiceProcess(folder, config=STRICT) as service:
        yield service
        assert service.stop() == 0


@pytest.fixture(scope="module")
def strict_service(started_strict_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """Small limits, the keys ALICE and BOB; model `steady` runs one job and lets one wait."""
    yield started_strict_service
    started_strict_service.check_serves(ALICE)


@pytest.fixture(scope="session")
def choosy_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Keys, also as `?token=`; a client id that is connected is not taken over; messages are compressed."""
    folder = tmp_path_factory.mktemp("choosy")
    with ServiceProcess(folder, *CHOOSY) as service:
        yield service
        service.check_serves(ALICE)
        assert service.stop() == 0
