"""The stages that need no model: cleaning, chunking, and the items of a list."""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import Struct

from config.settings import ModelSettings, StageSettings
from workers.messages import PipelineWork
from workers.pipeline.model import BatchModel
from workers.pipeline.piece import Piece
from workers.pipeline.sentences import cut
from workers.pipeline.stage import Stage

# Control characters but for the white space among them, and lone surrogates.
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
SPACE = re.compile(r"\s+")
MAX_PIECES = 64


class PlainModel(BatchModel):
    """A function of one piece."""

    def __init__(self, function: Callable[[Any, PipelineWork], Any]) -> None:
        super().__init__(MAX_PIECES, MAX_PIECES)
        self.description = "plain Python"
        self._function = function

    def run(self, pieces: list[Piece]) -> list[Any]:
        return [self._function(piece.value, piece.work) for piece in pieces]


class Preprocessing(Stage):
    """Outputs: the clean text, and its number of words."""

    num_outputs: ClassVar[int] = 2

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:  # noqa: ARG002
        return results[0], len(results[0].split())


def clean(text: str, _: PipelineWork) -> str:
    """Composed (NFC), without control characters, white space made single spaces."""
    return SPACE.sub(" ", CONTROLS.sub("", unicodedata.normalize("NFC", text))).strip()


class Chunking(Stage):
    """Output: parts of at most `chunk_size` characters, in order."""

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:  # noqa: ARG002
        return (results[0],)


def chunk(text: str, work: PipelineWork) -> list[str]:
    return cut(text, work.chunk_size)


class ItemResult(Struct):
    """`length` in characters; `hash` the first 8 hex digits of the MD5 of the item's UTF-8."""

    original: str
    processed: str
    length: int
    hash: str


class Items(Stage):
    """Outputs: all results, and the totals. Progress says each chunk's results."""

    num_outputs: ClassVar[int] = 2

    def pieces(self, value: Any, work: PipelineWork) -> list[Any]:
        return [value[start : start + work.chunk_size] for start in range(0, len(value), work.chunk_size)]

    def show(self, value: Any, result: Any) -> Any:  # noqa: ARG002
        return result

    def merge(self, values: list[Any], results: list[Any]) -> tuple[Any, ...]:  # noqa: ARG002
        items = [item for chunk in results for item in chunk]
        length = sum(item.length for item in items)
        average = round(length / len(items), 2) if items else 0.0
        return items, {"total_items": len(items), "total_length": length, "average_length": average}


def process_items(items: list[str], _: PipelineWork) -> list[ItemResult]:
    return [ItemResult(item, item.upper(), len(item), _hash(item)) for item in items]


def _hash(item: str) -> str:
    digest = hashlib.md5(item.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return digest.hexdigest()[:8]


def load_clean(_stage: StageSettings, _model: ModelSettings) -> PlainModel:
    return PlainModel(clean)


def load_chunk(_stage: StageSettings, _model: ModelSettings) -> PlainModel:
    return PlainModel(chunk)


def load_items(_stage: StageSettings, _model: ModelSettings) -> PlainModel:
    return PlainModel(process_items)
