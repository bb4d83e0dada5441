"""Started servers, shared between all tests of a run."""

import signal
from collections.abc import AsyncIterator, Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from tests.collaborators import Party
from tests.service_process import ServiceProcess

STEADY_STEPS_PER_S = 50
# No test takes half of it: what takes longer waits for something that never comes.
TEST_TIMEOUT_S = 600

# How long an example takes is the machine's matter; all else is as Hypothesis has it, also in CI.
settings.register_profile("any pace", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any pace")

IMAGE_SETTINGS = """
[limits]
max_images = 3

[models.echo]
engine = "echo"
path = "echo"

[models.sd]
engine = "diffusion"
path = "{folder}"
image_steps = 4
max_image_side = 256
"""


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """A test that hangs fails, and says where it stood."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_S} s")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


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


@pytest.fixture(scope="session")
def pipeline_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A pipeline of tiny models, and an echo model. At its end as `echo_service`."""
    from tests.pipeline_models import write_settings

    folder = tmp_path_factory.mktemp("pipeline_service")
    with ServiceProcess(folder, "--config", str(write_settings(folder))) as service:
        yield service
        service.wait_ready()
        service.check_serves()
        assert service.stop() == 0


@pytest.fixture(scope="session")
def image_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A tiny Stable Diffusion with random weights, `sd`, and an echo model. At its end as `echo_service`."""
    from tests.image_models import save_sd

    folder = tmp_path_factory.mktemp("image_service")
    settings = IMAGE_SETTINGS.format(folder=save_sd(folder / "sd"))
    with ServiceProcess(folder, config=settings) as service:
        yield service
        service.wait_ready()
        service.check_serves()
        assert service.stop() == 0


@pytest.fixture
async def party() -> AsyncIterator[Party]:
    """Opens websockets to shared documents; they are closed after the test."""
    async with Party() as party:
        yield party


@pytest.fixture
def url(service: ServiceProcess, request: pytest.FixtureRequest) -> str:
    """Of a document of the test's own."""
    return f"{service.url}/collaborate/{request.node.name.replace('/', '_')[:100]}"
