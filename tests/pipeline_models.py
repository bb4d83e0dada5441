"""Makes tiny models for a pipeline's stages: they answer at once, always the same, and mean nothing."""

from pathlib import Path
from typing import Any

import spacy
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from tests.models import make_model, make_tokenizer

# A text with it makes the classifier raise: a token that it has no embedding for.
POISON = "\U0001f6d1"
NAMES = {"PERSON": "Anna Schmidt", "GPE": "Köln", "DATE": "Monday"}
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
    "pad_token_id": 1,
    "initializer_range": 0.4,
}


def make_classifier(folder: Path) -> Path:
    """A BERT with random weights that says NEGATIVE, NEUTRAL or POSITIVE."""
    tokenizer = make_tokenizer()
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(1)
    names = dict(enumerate(("negative", "neutral", "positive")))
    config = AutoConfig.for_model("bert", **SHAPE, vocab_size=len(tokenizer), id2label=names)
    tokenizer.add_tokens([POISON])
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model: Any = AutoModelForSequenceClassification
        model.from_config(config).save_pretrained(folder)
    return folder


def make_entity_finder(folder: Path) -> Path:
    """A spaCy pipeline that knows NAMES and no others."""
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": name} for label, name in NAMES.items()])  # type: ignore[attr-defined]
    nlp.to_disk(folder)
    return folder


SETTINGS = """
[limits]
max_text_chars = 6_000
max_items = 50_000

[models.echo]
engine = "echo"
path = "echo"

[models.pipeline]
engine = "pipeline"

[models.pipeline.stages.sentiment]
model = "{folder}/classifier"

[models.pipeline.stages.chunk_sentiment]
model = "{folder}/classifier"

[models.pipeline.stages.entities]
model = "{folder}/entities"

[models.pipeline.stages.summary]
model = "{folder}/writer"
max_new_tokens = 12

[models.pipeline.stages.translation]
model = "{folder}/writer"
languages = ["en", "de", "fr"]
prompt = "To {{target}}: "
max_new_tokens = 12
"""


def write_settings(folder: Path) -> Path:
    """A settings file of a service with an echo model, and a pipeline that has all usual stages."""
    make_classifier(folder / "classifier")
    make_entity_finder(folder / "entities")
    make_model(folder / "writer", "llama")
    path = folder / "sluice.toml"
    path.write_text(SETTINGS.format(folder=folder))
    return path
