"""Summary: each part of the text is summarised; together they are the text's."""

from typing import Any

from workers.messages import PipelineWork
from workers.pipeline.stage import BETWEEN, Stage


class WrittenStage(Stage):
    """A stage whose model writes a text for each part of a text."""

    def pieces(self, value: Any, work: PipelineWork) -> list[Any]:  # noqa: ARG002
        return self.model.parts(value)

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:  # noqa: ARG002
        return (BETWEEN.join(filter(None, results)),)


class SummaryStage(WrittenStage):
    """Outputs: the summary."""
