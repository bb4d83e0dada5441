"""Which engine a model's settings name. Import strings, so that only the child loads a library."""

from importlib import import_module
from typing import Any

from config.settings import ModelSettings
from workers.engine import Engine

ENGINES = {
    "llm": "workers.llm.engine:LlmEngine",
    "echo": "workers.echo.engine:EchoEngine",
    "diffusion": "workers.diffusion.engine:DiffusionEngine",
    "pipeline": "workers.pipeline.engine:PipelineEngine",
    "tasks": "workers.tasks.engine:TasksEngine",
}


def load_engine(name: str, settings: ModelSettings) -> Engine[Any]:
    """Load the model called `name` on its device. Raises LoadError, or what its library raises."""
    module_name, class_name = ENGINES[settings.engine].split(":")
    engine: Engine[Any] = getattr(import_module(module_name), class_name)(name, settings)
    return engine
