"""Pieces that wait for a model: the jobs take turns, and go beside others of about their size."""

from collections.abc import Iterable, Set
from heapq import nsmallest
from itertools import chain

from workers.messages import JobId
from workers.pipeline.piece import Piece

# Keeps the order, and loses one quickly.
Pieces = dict[Piece, None]


class Waiting:
    """A model's queue. Its bound is that of the jobs: each brings at most its text's pieces."""

    def __init__(self) -> None:
        # By job; the first of those that are ready has waited longest, and none of them is empty.
        self._ready: dict[JobId, Pieces] = {}
        self._paused: dict[JobId, Pieces] = {}

    def __len__(self) -> int:
        return sum(len(pieces) for pieces in self._ready.values())

    def put(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            place = self._paused if piece.job_id in self._paused else self._ready
            place.setdefault(piece.job_id, {})[piece] = None

    def pause(self, job_id: JobId) -> None:
        """Set the job's pieces aside, also those that it brings later."""
        self._paused.setdefault(job_id, {}).update(self._ready.pop(job_id, {}))

    def resume(self, job_id: JobId) -> None:
        self.put(self._paused.pop(job_id, {}))

    def drop(self, job_id: JobId) -> None:
        self._paused.pop(job_id, None)
        self._ready.pop(job_id, None)

    def take(self, max_pieces: int, max_size: int, but_for: Set[JobId] = frozenset()) -> list[Piece]:
        """The next batch: the first piece of the job that has waited longest, and those nearest in size.

        At most `max_pieces`, and at most `max_size` when all are padded to the largest; one piece
        is taken whatever its size. The first is of none of the jobs `but_for`; where there are only
        theirs, the batch is empty. Its job has had its turn: the rest of it waits behind all others.
        """
        job_id = next((job_id for job_id in self._ready if job_id not in but_for), None)
        if job_id is None:
            return []
        self._ready[job_id] = self._ready.pop(job_id)
        first = next(iter(self._ready[job_id]))
        batch: list[Piece] = []
        largest = first.size
        for piece in self._nearest(first, max_pieces):
            largest = max(largest, piece.size)
            if batch and largest * (len(batch) + 1) > max_size:
                break
            batch.append(piece)
        for piece in batch:
            self._remove(piece)
        return batch

    def _nearest(self, first: Piece, max_pieces: int) -> list[Piece]:
        """`first`, and then those nearest to it in size: the same job's before others'."""
        others = (pieces for job_id, pieces in self._ready.items() if job_id != first.job_id)
        candidates = chain(self._ready[first.job_id], *others)
        return nsmallest(max_pieces, candidates, key=lambda piece: abs(piece.size - first.size))

    def _remove(self, piece: Piece) -> None:
        pieces = self._ready[piece.job_id]
        del pieces[piece]
        if not pieces:
            del self._ready[piece.job_id]
