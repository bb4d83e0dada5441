"""The tiny language models, and what `generate` says to them, are those of the engine's own tests."""

from tests.workers.llm.conftest import generate as generate
from tests.workers.llm.conftest import model_folder as model_folder
