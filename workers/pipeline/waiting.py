"""Pieces that wait for a model: the jobs take turns, beside others of about their pieces' size."""

from collections.abc import Iterable, Set

from workers.messages import JobId
from workers.pipeline.piece import Piece


class Waiting:
    """A model's queue. Its bound is that of the jobs: each brings at most its text's pieces."""

    def __init__(self) -> None:
        # Dicts keep their order and lose a job's pieces quickly.
        self._ready: dict[Piece, None] = {}
        self._paused: dict[JobId, list[Piece]] = {}

    def __len__(self) -> int:
        return len(self._ready)

    def put(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if piece.job_id in self._paused:
                self._paused[piece.job_id].append(piece)
            else:
                self._ready[piece] = None

    def pause(self, job_id: JobId) -> None:
        """Set the job's pieces aside, also those that it brings later."""
        self._paused.setdefault(job_id, []).extend(self._take_job(job_id))

    def resume(self, job_id: JobId) -> None:
        self.put(self._paused.pop(job_id, []))

    def drop(self, job_id: JobId) -> None:
        self._paused.pop(job_id, None)
        self._take_job(job_id)

    def take(self, max_pieces: int, max_size: int, but_for: Set[JobId] = frozenset()) -> list[Piece]:
        """The next batch: the piece that has waited longest and those nearest to it in size.

        At most `max_pieces`, and at most `max_size` when all are padded to the largest; one piece
        is taken whatever its size. The first is of none of the jobs `but_for`; where there are only
        theirs, the batch is empty. The job of the first has had its turn: its others wait behind all.
        """
        first = next((piece for piece in self._ready if piece.job_id not in but_for), None)
        if first is None:
            return []
        batch: list[Piece] = []
        largest = first.size
        for piece in sorted(self._ready, key=lambda piece: abs(piece.size - first.size)):
            largest = max(largest, piece.size)
            if batch and (len(batch) == max_pieces or largest * (len(batch) + 1) > max_size):
                break
            batch.append(piece)
        for piece in batch:
            del self._ready[piece]
        self.put(self._take_job(first.job_id))
        return batch

    def _take_job(self, job_id: JobId) -> list[Piece]:
        pieces = [piece for piece in self._ready if piece.job_id == job_id]
        for piece in pieces:
            del self._ready[piece]
        return pieces
