"""One step's chunks, packed into arrays: all that the model and its attention need to know."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workers.llm.scheduling.chunks import Chunk

Ints = npt.NDArray[np.int64]

# Rows are computed together while the longest context is at most twice the shortest, and this many more.
SPARE_CONTEXT_TOKENS = 64


class Rows(NamedTuple):
    """Chunks `start … stop - 1` of the batch: near enough in size to be computed as one padded call."""

    start: int
    stop: int


class AdaptedRows(NamedTuple):
    """The packed tokens `start … stop - 1` are of sequences that adapter `number` answers."""

    number: int
    start: int
    stop: int


class Read(NamedTuple):
    """The logits of rows `start … stop - 1` tell how likely the next tokens of the chunk's prompt are."""

    chunk: Chunk
    start: int
    stop: int


class Batch:
    """Chunks in order of size, so that rows of like size are neighbours (T tokens, S chunks); before that
    in order of their adapters, so that the rows of each are neighbours: `adapted` says which.

    `input_ids [T]`, `positions [T]`, `slots [T]` where the tokens' keys and values go, `starts [S]` and
    `ends [S]` the positions of each chunk's first token and past its last, `offsets [S + 1]` of the
    chunks in the packed tokens, `block_tables [S, B]` padded with each chunk's own first block, and
    `sampled [S']` the packed places whose next token is to be sampled: of each of `sampled_chunks` the last
    place, and those before it that stand before a draft. With `reads` the places that prompts are read by are
    among them, and `drawn_rows` says which of `sampled` are none of these.
    """

    def __init__(self, chunks: list[Chunk], block_tokens: int) -> None:
        self.chunks = sorted(chunks, key=_order)
        self.block_tokens = block_tokens
        sequences = [chunk.sequence for chunk in self.chunks]
        sizes = np.array([chunk.size for chunk in self.chunks])
        self.starts: Ints = np.array([sequence.num_cached_tokens for sequence in sequences])
        self.ends: Ints = self.starts + sizes
        self.offsets: Ints = np.concatenate(([0], np.cumsum(sizes)))
        self.adapted = self._adapted_rows()
        self.input_ids: Ints = np.fromiter(chain.from_iterable(map(_token_ids, self.chunks)), np.int64)
        self.block_tables = self._block_tables()
        rows = np.repeat(np.arange(len(sizes)), sizes)
        self.positions: Ints = np.arange(len(rows)) + (self.starts - self.offsets[:-1])[rows]
        blocks = self.block_tables[rows, self.positions // block_tokens]
        self.slots: Ints = blocks * block_tokens + self.positions % block_tokens
        num_drafts = np.array([len(chunk.drafts) for chunk in self.chunks])
        is_complete = self.ends - num_drafts == np.array([len(sequence.token_ids) for sequence in sequences])
        self.sampled_chunks = [self.chunks[row] for row in np.flatnonzero(is_complete)]
        self.sampled: Ints = _last_places(self.offsets[1:][is_complete], 1 + num_drafts[is_complete])
        self.reads: list[Read] = []
        if any(sequence.is_reading for sequence in sequences):
            self._read(np.where(is_complete, 1 + num_drafts, 0))

    def _read(self, num_drawn: Ints) -> None:
        """More places are asked for, in each chunk one run that goes to its end."""
        sequences = [chunk.sequence for chunk in self.chunks]
        num_asked = np.maximum(0, self.ends - np.maximum(self.starts, [s.first_asked for s in sequences]))
        self.sampled = _last_places(self.offsets[1:], num_asked)
        # A prompt that is only read has no answer.
        num_drawn = np.where([sequence.max_tokens > 0 for sequence in sequences], num_drawn, 0)
        ends = np.cumsum(num_asked)
        self.drawn_rows = _last_places(ends, num_drawn)
        self.sampled_chunks = [self.chunks[row] for row in np.flatnonzero(num_drawn)]
        for row, chunk in enumerate(self.chunks):
            if chunk.sequence.is_reading:
                stop = int(ends[row]) - int(self.ends[row] == chunk.sequence.num_prompt_tokens)
                self.reads.append(Read(chunk, int(ends[row] - num_asked[row]), stop))

    def groups(self) -> Iterator[Rows]:
        """The chunks as few runs of like size; all decodes of like context are one."""
        start = 0
        for row in range(1, len(self.chunks) + 1):
            if row == len(self.chunks) or not self._is_like(start, row):
                yield Rows(start, row)
                start = row

    def _is_like(self, first: int, row: int) -> bool:
        num_first = self.offsets[first + 1] - self.offsets[first]
        num_row = self.offsets[row + 1] - self.offsets[row]
        most = 2 * self.ends[first] + SPARE_CONTEXT_TOKENS
        is_like_context = (
            self.ends[row] <= most and 2 * self.ends[row] + SPARE_CONTEXT_TOKENS >= self.ends[first]
        )
        return bool(num_row == num_first or 1 < num_first <= num_row <= 2 * num_first) and bool(
            is_like_context
        )

    def _adapted_rows(self) -> list[AdaptedRows]:
        """Those without an adapter are first, so the last tells whether there are any with one."""
        if not self.chunks[-1].sequence.job.adapter:
            return []
        numbers = [chunk.sequence.job.adapter for chunk in self.chunks]
        found = {number: numbers.index(number) for number in numbers if number}
        stops = [*list(found.values())[1:], len(numbers)]
        return [
            AdaptedRows(number, int(self.offsets[first]), int(self.offsets[stop]))
            for (number, first), stop in zip(found.items(), stops, strict=True)
        ]

    def _block_tables(self) -> Ints:
        tables = [chunk.sequence.block_table for chunk in self.chunks]
        padded = np.empty((len(tables), max(map(len, tables))), np.int64)
        for row, table in enumerate(tables):
            padded[row, : len(table)] = table
            padded[row, len(table) :] = table[0]
        return padded


def _order(chunk: Chunk) -> tuple[int, int, int]:
    return chunk.sequence.job.adapter, chunk.size, chunk.sequence.num_cached_tokens


def _token_ids(chunk: Chunk) -> list[int]:
    start = chunk.sequence.num_cached_tokens
    return [*chunk.sequence.token_ids[start : start + chunk.num_tokens], *chunk.drafts]


def _last_places(ends: Ints, counts: Ints) -> Ints:
    """The `counts` places before each of `ends`, all in order."""
    firsts = ends - counts - (np.cumsum(counts) - counts)
    return np.repeat(firsts, counts) + np.arange(counts.sum())
