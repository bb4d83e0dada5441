"""One tiny Stable Diffusion for all tests of the engine."""

from pathlib import Path

import pytest

from tests.image_models import save_sd
from tests.workers.diffusion.drawing import make_engine
from workers.diffusion.engine import DiffusionEngine


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sd(tmp_path_factory.mktemp("sd"), scheduler="ddim")


@pytest.fixture(scope="session")
def _engine(sd: Path) -> DiffusionEngine:
    return make_engine(sd, max_num_seqs=4)


@pytest.fixture
def engine(_engine: DiffusionEngine) -> DiffusionEngine:
    """Shared, and with nothing left from the test before."""
    assert not _engine.job_ids()
    return _engine
