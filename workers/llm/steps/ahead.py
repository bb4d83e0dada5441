"""Which step is launched when: one at a time, or the next before the last one's tokens are read.

The field calls the latter asynchronous scheduling. While the device computes the next step, the host makes
text and events of the last one's tokens; the device takes them from there itself. Who turns out to have
ended, was cancelled or failed meanwhile has one row too much in the next step: its token is dropped.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from workers.llm.answers.sequence import Sequence
from workers.llm.scheduling.scheduler import Scheduler
from workers.llm.steps.batch import Batch
from workers.llm.steps.carry import Carry
from workers.llm.steps.flight import Flight
from workers.llm.steps.runner import Runner

# In the place of a token that is still being drawn.
UNKNOWN = 0


class Flights:
    """Launches the steps, in order; with `is_ahead` up to two are under way."""

    def __init__(self, runner: Runner, scheduler: Scheduler, block_tokens: int, *, is_ahead: bool) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._block_tokens = block_tokens
        self._is_ahead = is_ahead
        self._next: Flight | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a step was launched that `next` has not given out."""
        return self._next is not None

    def next(self) -> Flight | None:
        """The step to read now, if there is any; where it could be, the one after it is under way."""
        flight, self._next = self._next or self._launch(), None
        if flight is not None:
            # Not when it was launched: then its inputs may have been unknown, and blocks are known by them.
            self._scheduler.note_computed(flight.batch.chunks)
            self._next = self._launch_after(flight) if self._is_ahead else None
        return flight

    def _launch(self, before: Flight | None = None) -> Flight | None:
        chunks = self._scheduler.schedule()
        if not chunks:
            return None
        batch = Batch(chunks, self._block_tokens)
        return Flight(self._runner, batch, None if before is None else _carry(before, batch))

    def _launch_after(self, flight: Flight) -> Flight | None:
        """None where the host has to know the flight's tokens first, or nothing is left to do."""
        chunks = flight.batch.sampled_chunks
        sequences = [chunk.sequence for chunk in chunks if chunk.sequence.goes_on]
        # How far a prompt was read says which logits its next chunk is asked for.
        if flight.batch.reads or any(sequence.needs_its_tokens for sequence in sequences):
            return None
        with _supposing(sequences):
            can_launch = self._scheduler.can_grow()
            return self._launch(flight if sequences else None) if can_launch else None


@contextmanager
def _supposing(sequences: list[Sequence]) -> Iterator[None]:
    """Each of them has one token more, whichever it is."""
    for sequence in sequences:
        sequence.token_ids.append(UNKNOWN)
    try:
        yield
    finally:
        for sequence in sequences:
            sequence.token_ids.pop()


def _carry(before: Flight, batch: Batch) -> Carry:
    """Who was drawn for before goes on with that token alone."""
    rows = {chunk.sequence: row for row, chunk in enumerate(before.batch.sampled_chunks)}
    sources = np.full(len(batch.input_ids), -1)
    for chunk, place in zip(batch.chunks, batch.offsets[:-1], strict=True):
        sources[place] = rows.get(chunk.sequence, -1)
    return Carry(before.ids, sources)
