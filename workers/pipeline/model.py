"""What pieces go through: a model, or a plain function, that all stages and jobs share."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from workers.messages import JobId
from workers.pipeline.piece import Broke, Made, Outcome, Piece
from workers.pipeline.waiting import Waiting

log = logging.getLogger(__name__)

MAX_ERROR_CHARS = 300
# torch's, which is not imported here: after it every call on the device fails until the process is new.
LOST_DEVICE = "AcceleratorError"


class Model(ABC):
    """Takes pieces of many jobs and advances a batch of them in each `step`.

    Of each piece that was put and not dropped comes exactly one `Made` or `Broke`.
    """

    description: str

    def __init__(self, max_pieces: int, max_size: int) -> None:
        self.max_pieces = max_pieces
        self.max_size = max_size
        self.waiting = Waiting()

    def parts(self, text: str) -> list[str]:
        """The text in parts that the model can take, cut between sentences where possible."""
        return [text]

    def measure(self, value: Any) -> int:  # noqa: ARG002
        """What a piece of this value takes of a batch."""
        return 1

    def put(self, pieces: Iterable[Piece]) -> None:
        self.waiting.put(pieces)

    def pause(self, job_id: JobId) -> None:
        self.waiting.pause(job_id)

    def resume(self, job_id: JobId) -> None:
        self.waiting.resume(job_id)

    def drop(self, job_id: JobId) -> None:
        """Forget the job's pieces, also those in work."""
        self.waiting.drop(job_id)

    def has_work(self) -> bool:
        return bool(self.waiting)

    @abstractmethod
    def step(self) -> list[Outcome]:
        """Advance one batch."""


class BatchModel(Model):
    """A model that is done with a batch in one step."""

    @abstractmethod
    def run(self, pieces: list[Piece]) -> list[Any]:
        """The result of each piece."""

    def step(self) -> list[Outcome]:
        return self._try(self.waiting.take(self.max_pieces, self.max_size))

    def _try(self, pieces: list[Piece]) -> list[Outcome]:
        """Where a batch fails, each piece is tried alone: its batch-mates go on."""
        try:
            values = self.run(pieces)
        except Exception as error:
            if len(pieces) == 1:
                return [broke(pieces[0], error)]
            return [outcome for piece in pieces for outcome in self._try([piece])]
        return [Made(piece, value) for piece, value in zip(pieces, values, strict=True)]


def broke(piece: Piece, error: Exception) -> Broke:
    """The piece's outcome when the model raised on it. Raises the error where no piece is to blame."""
    if type(error).__name__ == LOST_DEVICE:
        raise error
    return Broke(piece, complain(error, piece.job_id, piece.work.steps[piece.place]))


def complain(error: Exception, job_id: JobId, stage: str) -> str:
    """Log the traceback where it happened, and say it in a line. Call it while it is handled."""
    log.exception("stage failed", extra={"job": job_id, "stage": stage})
    text = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARS]
    return text.encode("utf-8", "replace").decode()
