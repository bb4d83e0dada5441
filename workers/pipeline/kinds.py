"""Which code a stage's kind names, and the stages that settings declare."""

from importlib import import_module
from typing import Any, NamedTuple

import msgspec

from config.settings import ModelSettings, StageSettings
from workers.errors import LoadError
from workers.pipeline.model import Model
from workers.pipeline.stage import Stage


class Kind(NamedTuple):
    """The stage's class and what loads its model: import strings, as a library is loaded when needed."""

    stage: str
    load: str


KINDS = {
    "preprocessing": Kind("plain:Preprocessing", "plain:load_clean"),
    "chunking": Kind("plain:Chunking", "plain:load_chunk"),
    "items": Kind("plain:Items", "plain:load_items"),
    "sentiment": Kind("sentiment:SentimentStage", "sentiment:load_sentiment"),
    "entities": Kind("entities:EntitiesStage", "entities:load_entities"),
    "summary": Kind("summary:SummaryStage", "load_text:load_summary_model"),
    "translation": Kind("translation:TranslationStage", "load_text:load_translation_model"),
}


def build_stages(settings: ModelSettings) -> dict[str, Stage]:
    """All stages, by name. Stages that name the same model share it. Raises LoadError."""
    models: dict[bytes, Model] = {}
    stages = {name: _build(name, stage, settings, models) for name, stage in settings.stages.items()}
    if unknown := [step for step in settings.steps if step not in stages]:
        raise LoadError(f"steps: {unknown[0]!r} is no stage; there is: {', '.join(stages)}")
    return stages


def _build(name: str, stage: StageSettings, settings: ModelSettings, models: dict[bytes, Model]) -> Stage:
    kind = KINDS[stage.kind]
    key = msgspec.json.encode((stage.kind, msgspec.structs.replace(stage, inputs=[], outputs=[])))
    try:
        if key not in models:
            models[key] = _named(kind.load)(stage, settings)
    except LoadError as error:
        raise LoadError(f'stage "{name}": {error}') from error
    made: Stage = _named(kind.stage)(name, stage, models[key])
    if len(stage.outputs) > made.num_outputs:
        raise LoadError(
            f'stage "{name}": {len(stage.outputs)} outputs > {made.num_outputs} (its kind makes no more)'
        )
    return made


def _named(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(f"workers.pipeline.{module}"), name)
