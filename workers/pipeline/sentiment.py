"""Sentiment: a sequence classifier of transformers, its labels made NEGATIVE, NEUTRAL or POSITIVE."""

import re
from typing import Any, ClassVar, NamedTuple

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from config.settings import ModelSettings, StageSettings
from workers.embedded import SENTIMENT
from workers.errors import LoadError
from workers.hub import (
    describe,
    device_of,
    dtype_of,
    load_tokenizer,
    load_weights,
    max_tokens,
    options_of,
    settle,
    source_of,
)
from workers.messages import PipelineWork
from workers.pipeline.model import BatchModel
from workers.pipeline.piece import Piece
from workers.pipeline.sentences import cut
from workers.pipeline.stage import Stage

LABELS = ("NEGATIVE", "NEUTRAL", "POSITIVE")
STARS = re.compile(r"([1-5]) stars?")


class SentimentModel(BatchModel):
    """A classifier; the result of a piece is its probabilities [3] in the order of LABELS.

    Of a piece that is longer than the model reads, its beginning counts.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        classes: list[int],
        settings: ModelSettings,
    ) -> None:
        super().__init__(settings.max_num_seqs, settings.max_batched_tokens)
        self.description = describe(model)
        self._model = model
        self._tokenizer = tokenizer
        self._classes = torch.tensor(classes, device=model.device)
        self._max_tokens = max_tokens(model, tokenizer)

    def parts(self, text: str) -> list[str]:
        num_special = self._tokenizer.num_special_tokens_to_add()
        return cut(text, self._max_tokens - num_special, self._count)

    def measure(self, value: Any) -> int:
        return min(self._count(value) + 2, self._max_tokens)

    @torch.inference_mode()
    def run(self, pieces: list[Piece]) -> list[Any]:
        texts = [piece.value for piece in pieces]
        inputs = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        )
        # logits [B, number of the model's own labels] -> probabilities [B, 3]
        logits = self._model(**inputs.to(self._model.device)).logits.float()
        own = logits.softmax(-1)
        probabilities = own.new_zeros(len(texts), len(LABELS)).index_add_(1, self._classes, own)
        made: list[Any] = probabilities.tolist()
        return made

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)


class Sentiment(NamedTuple):
    """A label and its probability."""

    label: str
    confidence: float


class SentimentStage(Stage):
    """Outputs: the label of all, its probability, and that of each part.

    All is the mean of its parts, each weighted with its length.
    """

    num_outputs: ClassVar[int] = 3

    def pieces(self, value: Any, work: PipelineWork) -> list[Any]:  # noqa: ARG002
        return value if isinstance(value, list) else self.model.parts(value)

    def show(self, value: Any, result: Any) -> Any:
        label, confidence = choose(result)
        return {"chunk": value, "sentiment": label, "confidence": confidence}

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:
        total = sum(len(value) for value in values)
        if not total:
            return "NEUTRAL", 0.0, []
        means = [
            sum(len(value) * result[i] for value, result in zip(values, results, strict=True)) / total
            for i in range(len(LABELS))
        ]
        shown = [self.show(value, result) for value, result in zip(values, results, strict=True)]
        return *choose(means), shown


def choose(probabilities: list[float]) -> Sentiment:
    best = max(range(len(LABELS)), key=probabilities.__getitem__)
    return Sentiment(LABELS[best], round(probabilities[best], 4))


def load_sentiment(settings: StageSettings, model_settings: ModelSettings) -> SentimentModel:
    """Raises LoadError, also for labels that mean nothing to us."""
    settle()
    source, device = source_of(settings.model, SENTIMENT), device_of(model_settings.device)
    options = options_of(model_settings)
    tokenizer = load_tokenizer(settings.model, source, options)
    options |= {"dtype": dtype_of(model_settings.dtype, device)}
    model = load_weights(settings.model, AutoModelForSequenceClassification, source, options, device)
    names: Any = model.config.id2label or {}
    classes = [_class_of(names[i], settings) for i in sorted(names)]
    if len(set(classes)) < 2:
        raise LoadError(f'model "{settings.model}" has {len(classes)} labels; expected at least two kinds')
    loaded = SentimentModel(model, tokenizer, classes, model_settings)
    loaded.run([Piece(0, 0, 0, "warm up", PipelineWork([], []))])
    return loaded


def _class_of(name: str, settings: StageSettings) -> int:
    """Which of LABELS one of the model's own labels means."""
    meaning = settings.labels.get(name, name).strip().lower()
    if stars := STARS.fullmatch(meaning):
        return (0, 0, 1, 2, 2)[int(stars[1]) - 1]
    bare = meaning.removeprefix("very ").removeprefix("extremely ")
    for index, label in enumerate(LABELS):
        if bare and (bare == label.lower() or bare == label.lower()[:3]):
            return index
    known = ", ".join(LABELS)
    message = f'model "{settings.model}": label {name!r} is none of {known}'
    raise LoadError(f"{message}; say what it means in the stage's labels")
