"""Sentiment through tiny random classifiers of several architectures, loaded from folders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from config.settings import ModelSettings, StageSettings
from tests.models import make_tokenizer
from workers.errors import LoadError
from workers.messages import PipelineWork
from workers.pipeline.piece import Piece
from workers.pipeline.sentiment import SentimentModel, SentimentStage, choose, load_sentiment

WORK = PipelineWork(["sentiment"], [])
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "initializer_range": 0.4,
}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": SHAPE,
    "roberta": SHAPE,
    "electra": SHAPE | {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 40},
}
THREE = ["negative", "neutral", "positive"]
TEXTS = ["Good.", "A fox carried a lantern through the quiet wood.", "\U0001f98a", "The river told"]


def save(folder: Path, family: str = "bert", labels: list[str] | None = None, **overrides: Any) -> Path:
    tokenizer = make_tokenizer()
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(1)
    tokenizer.save_pretrained(folder)
    names = dict(enumerate(labels or THREE))
    shape = SHAPES[family] | {"vocab_size": len(tokenizer), "id2label": names} | overrides
    config = AutoConfig.for_model(family, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


def load(folder: Path, settings: ModelSettings, **labels: str) -> SentimentModel:
    stage = StageSettings(kind="sentiment", inputs=["text"], outputs=["s"], model=str(folder), labels=labels)
    return load_sentiment(stage, settings)


def pieces(*texts: str) -> list[Piece]:
    return [Piece(1, 0, index, text, WORK) for index, text in enumerate(texts)]


@pytest.mark.parametrize("family", SHAPES)
def test_a_batch_says_what_each_text_says_alone(family: str, tmp_path: Path, settings: ModelSettings) -> None:
    model = load(save(tmp_path, family), settings)
    together = torch.tensor(model.run(pieces(*TEXTS)))
    alone = torch.tensor([model.run(pieces(text))[0] for text in TEXTS])
    assert together.shape == (len(TEXTS), 3)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.sum(1), torch.ones(len(TEXTS)))
    assert together.std(0).max() > 0.001


def test_probabilities_are_transformers_own(tmp_path: Path, settings: ModelSettings) -> None:
    model = load(save(tmp_path, labels=["POSITIVE", "NEGATIVE", "NEUTRAL"]), settings)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    inputs = make_tokenizer()(TEXTS[1], return_tensors="pt")
    with torch.inference_mode():
        positive, negative, neutral = plain(**inputs).logits.softmax(-1)[0].tolist()
    assert model.run(pieces(TEXTS[1]))[0] == pytest.approx([negative, neutral, positive], abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "meaning", "classes"),
    [
        (["NEG", "POS"], {}, [0, 2]),
        (
            ["LABEL_0", "LABEL_1", "LABEL_2"],
            {"LABEL_0": "negative", "LABEL_1": "neutral", "LABEL_2": "positive"},
            [0, 1, 2],
        ),
        (["1 star", "2 stars", "3 stars", "4 stars", "5 stars"], {}, [0, 0, 1, 2, 2]),
        (["Very Negative", "Negative", "Neutral", "Positive", "Very Positive"], {}, [0, 0, 1, 2, 2]),
    ],
)
def test_own_labels_are_mapped(
    labels: list[str], meaning: dict[str, str], classes: list[int], tmp_path: Path, settings: ModelSettings
) -> None:
    model = load(save(tmp_path, labels=labels), settings, **meaning)
    assert model._classes.tolist() == classes
    assert sum(model.run(pieces("Good."))[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "labels", [["LABEL_0", "LABEL_1"], ["joy", "anger", "fear"], ["positive", "good positive"]]
)
def test_labels_without_meaning_are_refused(
    labels: list[str], tmp_path: Path, settings: ModelSettings
) -> None:
    with pytest.raises(LoadError, match=r"say what it means in the stage's labels"):
        load(save(tmp_path, labels=labels), settings)


def test_a_text_longer_than_the_model_reads_is_cut(tmp_path: Path, settings: ModelSettings) -> None:
    model = load(save(tmp_path), settings)
    text = "The river told the stone a story. " * 20
    parts = model.parts(text)
    assert len(parts) > 5
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(model.measure(part) <= 40 for part in parts)
    assert len(model.run(pieces("x" * 3_000))) == 1


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_the_longest_text_fits(family: str, tmp_path: Path, settings: ModelSettings) -> None:
    """RoBERTa's first positions are its padding's."""
    model = load(save(tmp_path, family), settings)
    assert len(model.run(pieces("word " * 200))) == 1


def test_the_whole_is_the_weighted_mean(tmp_path: Path, settings: ModelSettings) -> None:
    stage_settings = StageSettings(kind="sentiment", inputs=["text"], outputs=["a", "b", "c"])
    stage = SentimentStage("sentiment", stage_settings, load(save(tmp_path), settings))
    label, confidence, parts = stage.merge(["aaa", "b"], [[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]])
    assert (label, confidence) == ("POSITIVE", 0.525)
    assert parts[1] == {"chunk": "b", "sentiment": "NEGATIVE", "confidence": 0.9}
    assert stage.merge([], []) == ("NEUTRAL", 0.0, [])
    assert choose([0.2, 0.5, 0.3]) == ("NEUTRAL", 0.5)


def test_a_missing_folder_is_refused(settings: ModelSettings) -> None:
    with pytest.raises(LoadError, match="does not exist"):
        load(Path("./not-there"), settings)
