"""The shipped settings of the pipeline model; a tiny model that writes."""

from pathlib import Path

import msgspec
import pytest

from config.load import DEFAULT_FILE, Layers
from config.settings import ModelSettings
from tests.workers.pipeline.writers import make_writer, summariser
from workers.pipeline.generator import Generator


@pytest.fixture(scope="session")
def settings() -> ModelSettings:
    layers = Layers()
    layers.lay_file(DEFAULT_FILE)
    return layers.build().models["pipeline"]


@pytest.fixture(scope="session")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_writer(tmp_path_factory.mktemp("bart"), "bart", {"no_repeat_ngram_size": 2})


@pytest.fixture
def generator(bart: Path, settings: ModelSettings) -> Generator:
    return summariser(bart, msgspec.structs.replace(settings, max_num_seqs=4), max_new_tokens=8)
