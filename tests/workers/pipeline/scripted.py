"""Stages whose models do what a test says, for tests of the engine alone."""

from collections.abc import Callable
from typing import Any

import msgspec

from config.settings import StageSettings
from workers.messages import Event, Field, PipelineWork
from workers.pipeline import engine as engine_module
from workers.pipeline.engine import PipelineEngine
from workers.pipeline.model import BatchModel
from workers.pipeline.piece import Piece
from workers.pipeline.stage import Stage

MAX_STEPS = 1_000


class ScriptedModel(BatchModel):
    """Calls `function` on each piece's value and keeps the values of each batch in `batches`."""

    description = "scripted"

    def __init__(self, function: Callable[[Any], Any], max_pieces: int = 8) -> None:
        super().__init__(max_pieces, 1_000)
        self.function = function
        self.batches: list[list[Any]] = []

    def measure(self, value: Any) -> int:
        return len(value)

    def run(self, pieces: list[Piece]) -> list[Any]:
        self.batches.append([piece.value for piece in pieces])
        return [self.function(piece.value) for piece in pieces]


class WordsStage(Stage):
    """One piece a word; the output is their results as a list."""

    def pieces(self, value: Any, work: PipelineWork) -> list[Any]:
        return str(value).split()

    def show(self, value: Any, result: Any) -> Any:
        return [value, result]

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:
        return (results,)


def stage(name: str, inputs: list[str], function: Callable[[Any], Any], max_pieces: int = 8) -> WordsStage:
    """A stage `name` that makes `{name}_out`."""
    settings = StageSettings(kind="items", inputs=inputs, outputs=[f"{name}_out"])
    return WordsStage(name, settings, ScriptedModel(function, max_pieces))


def make_engine(monkeypatch: Any, settings: Any, *stages: Stage) -> PipelineEngine:
    monkeypatch.setattr(engine_module, "build_stages", lambda _: {stage.name: stage for stage in stages})
    return PipelineEngine("test", settings)


def work(*steps: str, text: str = "one two three", **options: Any) -> PipelineWork:
    return PipelineWork(list(steps), [Field("text", msgspec.json.encode(text))], **options)


def run_all(engine: PipelineEngine) -> list[Event]:
    """Step until nothing is left to do."""
    events: list[Event] = []
    for _ in range(MAX_STEPS):
        if not engine.has_work():
            return events
        events += engine.step()
    raise AssertionError(f"still working after {MAX_STEPS} steps")


def values(fields: list[Field]) -> dict[str, Any]:
    return {field.name: msgspec.json.decode(field.value) for field in fields}
