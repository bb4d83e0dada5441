"""What goes through a model, one of many in a batch, and what comes of it."""

from typing import Any, NamedTuple

from msgspec import Struct

from workers.messages import JobId, PipelineWork


class Piece(Struct, eq=False):
    """One part of a stage's input. `place` is the stage's place in the job's steps.

    `size` is what the piece takes of a batch: tokens for a model, 1 where nothing is padded.
    """

    job_id: JobId
    place: int
    index: int
    value: Any
    work: PipelineWork
    size: int = 1


class Made(NamedTuple):
    """A piece's result, whole; `num_tokens` were generated for it."""

    piece: Piece
    value: Any
    num_tokens: int = 0


class Text(NamedTuple):
    """Text that follows what was generated for the piece before; `num_tokens` so far."""

    piece: Piece
    text: str
    num_tokens: int


class Broke(NamedTuple):
    """The model raised on this piece."""

    piece: Piece
    error: str


Outcome = Made | Text | Broke
