"""The models that ship with the project; importing this loads no tensor library."""

from pathlib import Path

# The folder of the language model called `embedded`, as transformers loads it.
LANGUAGE = Path(__file__).parent / "language"
