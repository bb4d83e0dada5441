"""Translation: each sentence is translated, into the request's language."""

from workers.messages import PipelineWork
from workers.pipeline.generator import Generator
from workers.pipeline.summary import WrittenStage


class TranslationStage(WrittenStage):
    """Outputs: the translated text."""

    model: Generator

    def check(self, work: PipelineWork) -> None:
        self.model.framing.find(work.target_language)
