"""The shipped settings of the pipeline model."""

import pytest

from config.load import DEFAULT_FILE, Layers
from config.settings import ModelSettings


@pytest.fixture(scope="session")
def settings() -> ModelSettings:
    layers = Layers()
    layers.lay_file(DEFAULT_FILE)
    return layers.build().models["pipeline"]
