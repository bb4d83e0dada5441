"""Entities: a spaCy pipeline, with its entities' probabilities where its parser can tell them."""

from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import spacy
from msgspec import Struct
from spacy.glossary import GLOSSARY
from spacy.language import Language
from spacy.pipeline import EntityRecognizer
from spacy.tokens import Doc, Span

from config.settings import ModelSettings, StageSettings
from workers.embedded import ENTITIES
from workers.errors import LoadError
from workers.hub import EMBEDDED, one_line
from workers.messages import PipelineWork
from workers.pipeline.model import BatchModel
from workers.pipeline.piece import Piece
from workers.pipeline.stage import Stage

AUTO, PREFERRED = "auto", "en_core_web_sm"
# Parses that are weighed against each other for a probability.
BEAM_WIDTH = 8
CHARS_PER_TOKEN = 4


class Entity(Struct):
    """`start` and `end` are code points of the text that the stage read. `type` is the label.

    `confidence` is a probability, or None where the model cannot tell.
    """

    text: str
    type: str
    label: str
    description: str | None
    start: int
    end: int
    confidence: float | None


class EntitiesModel(BatchModel):
    """A spaCy pipeline; the result of a piece is its entities."""

    def __init__(self, nlp: Language, settings: ModelSettings) -> None:
        super().__init__(settings.max_num_seqs, settings.max_batched_tokens)
        name, version = nlp.meta.get("name", "pipeline"), nlp.meta.get("version", "")
        self.description = f"spaCy {nlp.lang}_{name} {version}, {', '.join(nlp.pipe_names)}"
        self._nlp = nlp
        ner = nlp.get_pipe("ner") if nlp.has_pipe("ner") else None
        self._ner = ner if isinstance(ner, EntityRecognizer) else None

    def measure(self, value: Any) -> int:
        return 1 + len(value) // CHARS_PER_TOKEN

    def run(self, pieces: list[Piece]) -> list[Any]:
        docs = list(self._nlp.pipe([piece.value for piece in pieces]))
        return [
            [self._entity(span, probabilities) for span in doc.ents]
            for doc, probabilities in zip(docs, self._probabilities(docs), strict=True)
        ]

    def _probabilities(self, docs: list[Doc]) -> list[dict[tuple[int, int, str], float] | None]:
        """Per document: (first token, token after the last, label) -> the share of its likely parses."""
        if self._ner is None:
            return [None] * len(docs)
        found: list[dict[tuple[int, int, str], float] | None] = []
        for beam in self._ner.beam_parse(docs, beam_width=BEAM_WIDTH):
            shares: dict[tuple[int, int, str], float] = defaultdict(float)
            for share, spans in self._ner.moves.get_beam_parses(beam):
                for start, end, label in spans:
                    shares[start, end, label] += share
            found.append(shares)
        return found

    def _entity(self, span: Span, probabilities: dict[tuple[int, int, str], float] | None) -> Entity:
        confidence = None
        if probabilities is not None:
            confidence = round(min(1.0, probabilities.get((span.start, span.end, span.label_), 0.0)), 4)
        description = GLOSSARY.get(span.label_)
        return Entity(
            span.text, span.label_, span.label_, description, span.start_char, span.end_char, confidence
        )


class EntitiesStage(Stage):
    """Output: the entities of the whole text, in order."""

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:  # noqa: ARG002
        return (results[0],)


def load_entities(settings: StageSettings, model_settings: ModelSettings) -> EntitiesModel:
    """Raises LoadError, also for a pipeline that marks no entities."""
    source = _source(settings.model)
    try:
        nlp = spacy.load(source)
    except Exception as error:
        raise LoadError(f'spaCy model "{settings.model}" cannot be loaded: {one_line(error)}') from error
    if not {"ner", "entity_ruler", "span_ruler"} & set(nlp.pipe_names):
        pipes = ", ".join(nlp.pipe_names) or "nothing"
        raise LoadError(f'spaCy model "{settings.model}" marks no entities: it has {pipes}')
    loaded = EntitiesModel(nlp, model_settings)
    loaded.run([Piece(0, 0, 0, "warm up", PipelineWork([], []))])
    return loaded


def _source(model: str) -> str | Path:
    if model == AUTO:
        return PREFERRED if find_spec(PREFERRED) else ENTITIES
    return ENTITIES if model == EMBEDDED else Path(model).expanduser() if "/" in model else model
