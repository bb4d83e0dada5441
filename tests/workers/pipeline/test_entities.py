"""Entities through spaCy pipelines loaded from folders."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.training import Example

from config.settings import ModelSettings, StageSettings
from workers.errors import LoadError
from workers.messages import PipelineWork
from workers.pipeline.entities import EntitiesModel, Entity, load_entities
from workers.pipeline.piece import Piece

WORK = PipelineWork(["entities"], [])
TEXT = "\U0001f98a Anna flew to Berlin."


def save_rules(folder: Path) -> Path:
    nlp: Any = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": "Anna"}, {"label": "GPE", "pattern": "Berlin"}]
    )
    nlp.to_disk(folder)
    return folder


def save_parser(folder: Path) -> Path:
    """A recogniser with random weights: it marks whatever it marks."""
    nlp: Any = spacy.blank("en")
    nlp.add_pipe("ner").add_label("PERSON")
    example = Example.from_dict(nlp.make_doc(TEXT), {"entities": [(2, 6, "PERSON")]})
    nlp.initialize(lambda: [example])
    nlp.to_disk(folder)
    return folder


def load(model: str, settings: ModelSettings) -> EntitiesModel:
    return load_entities(
        StageSettings(kind="entities", inputs=["text"], outputs=["e"], model=model), settings
    )


def run(model: EntitiesModel, *texts: str) -> list[list[Entity]]:
    return model.run([Piece(1, 0, index, text, WORK) for index, text in enumerate(texts)])


def test_places_are_code_points(tmp_path: Path, settings: ModelSettings) -> None:
    model = load(str(save_rules(tmp_path)), settings)
    (entities,) = run(model, TEXT)
    assert [(entity.text, entity.label, TEXT[entity.start : entity.end]) for entity in entities] == [
        ("Anna", "PERSON", "Anna"),
        ("Berlin", "GPE", "Berlin"),
    ]
    assert entities[0].type == "PERSON"
    assert entities[1].description == "Countries, cities, states"
    assert entities[0].confidence is None


def test_a_parser_tells_probabilities(tmp_path: Path, settings: ModelSettings) -> None:
    model = load(str(save_parser(tmp_path)), settings)
    entities = [entity for found in run(model, TEXT, "", "Anna and Ben and Cleo") for entity in found]
    assert all(entity.confidence is not None and 0 <= entity.confidence <= 1 for entity in entities)


def test_a_batch_finds_what_each_text_has_alone(tmp_path: Path, settings: ModelSettings) -> None:
    model = load(str(save_rules(tmp_path)), settings)
    texts = [TEXT, "Nobody.", "Berlin Berlin", "   "]
    assert run(model, *texts) == [run(model, text)[0] for text in texts]


@pytest.mark.parametrize(
    ("model", "message"), [("./not-there", "cannot be loaded"), ("no_such_package", "no_such_package")]
)
def test_what_is_not_there_is_refused(model: str, message: str, settings: ModelSettings) -> None:
    with pytest.raises(LoadError, match=message):
        load(model, settings)


def test_a_pipeline_without_entities_is_refused(tmp_path: Path, settings: ModelSettings) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path)
    with pytest.raises(LoadError, match="marks no entities: it has sentencizer"):
        load(str(tmp_path), settings)
