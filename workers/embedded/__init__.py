"""The models that ship with the project; importing this loads no tensor library."""

from pathlib import Path

_HERE = Path(__file__).parent

# The folders of the models called `embedded`, as transformers loads them; as spaCy does ENTITIES, and
# as diffusers does IMAGE.
LANGUAGE = _HERE / "language"
SENTIMENT = _HERE / "sentiment"
ENTITIES = _HERE / "entities"
SUMMARY = _HERE / "summary"
TRANSLATION = _HERE / "translation"
IMAGE = _HERE / "image"
