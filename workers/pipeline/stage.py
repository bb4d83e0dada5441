"""What one stage of a pipeline does: cut its input into pieces for a model, and put the results together."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from config.settings import StageSettings
from workers.messages import PipelineWork, StageSpec
from workers.pipeline.model import Model

# What stands between the texts that were made of a text's parts.
BETWEEN = " "


class Stage(ABC):
    """A stage as the settings declare it. It keeps nothing of a job.

    `num_outputs` is how many outputs `merge` makes: the settings name at most so many.
    """

    num_outputs: ClassVar[int] = 1

    def __init__(self, name: str, settings: StageSettings, model: Model) -> None:
        self.name = name
        self.settings = settings
        self.model = model

    @property
    def spec(self) -> StageSpec:
        settings = self.settings
        return StageSpec(self.name, settings.kind, settings.inputs, settings.outputs, self.model.description)

    def check(self, work: PipelineWork) -> None:  # noqa: B027
        """Raise JobError for what the stage's model cannot give."""

    def pieces(self, value: Any, work: PipelineWork) -> list[Any]:  # noqa: ARG002
        """The input in pieces; none where there is nothing to do."""
        return [value]

    @abstractmethod
    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:
        """The outputs, in the order of the settings, from the pieces' values and their results."""

    def show(self, value: Any, result: Any) -> Any:  # noqa: ARG002
        """What progress says of one piece's result; None to say nothing of it."""
        return None
