"""Params of the routes for texts and lists."""

from typing import Annotated

from msgspec import Meta, Struct

from service.params.fields import ModelName

StepName = Annotated[str, Meta(min_length=1, max_length=128)]
# `en`, `pt-BR`, `deu_Latn`: whichever codes the model has.
Language = Annotated[str, Meta(min_length=1, max_length=64)]


class PipelineParams(Struct):
    """`/pipeline_stream`. `steps` is a list, or its names with commas between, as a query has them.

    With `stream_text` what a stage writes is sent while it is written.
    """

    text: Annotated[str, Meta(min_length=1)]
    target_language: Language | None = None
    steps: str | Annotated[list[StepName], Meta(min_length=1)] | None = None
    model: ModelName | None = None
    stream_text: bool = False

    def step_list(self) -> list[str] | None:
        """The steps one by one; None where the request leaves them to the model."""
        if isinstance(self.steps, str):
            return [step.strip() for step in self.steps.split(",")]
        return self.steps


class ProcessParams(Struct):
    """`/process-stream` and `/process-batch`. Lengths count Unicode code points."""

    text: Annotated[str, Meta(min_length=10, max_length=5_000)]
    include_sentiment: bool = True
    include_summary: bool = True
    include_entities: bool = False
    chunk_size: Annotated[int, Meta(ge=50, le=500)] = 200
    model: ModelName | None = None
    stream_text: bool = False


class ItemsParams(Struct):
    """`/process_stream`. Progress is told once for `chunk_size` items."""

    data: list[str]
    chunk_size: Annotated[int, Meta(ge=1, le=10_000)] = 10
    model: ModelName | None = None
