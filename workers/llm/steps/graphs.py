"""Decode steps recorded once for each size of batch: to replay one is one command to a GPU, not hundreds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workers.errors import LoadError
from workers.llm.attention.varlen import VarlenStep
from workers.llm.steps.batch import Batch
from workers.llm.steps.carry import Carry
from workers.llm.steps.upload import Array, Place, lay_places, pack, unpack, upload

# More rows keep a GPU busy without a recording. It bounds the memory: each recording has its logits.
MAX_ROWS = 256
# Before it is recorded a step must have allocated, and chosen, all that it does once.
NUM_WARM_UPS = 2
# As many as any model has ids and positions for.
NUM_TRIAL_TOKENS = 8
# Share of the logits' size by which a replay may differ: the same operations in the same order.
TOLERANCE = 0.01

# The place of the ids among the arrays.
INPUT_IDS = 1

Compute = Callable[[Tensor, Tensor, VarlenStep], Tensor]
Recorder = Callable[[Callable[[], Tensor]], tuple[Tensor, Callable[[], None]]]


class Room(NamedTuple):
    """How far a recording's rows may reach; `scratch` is the block that padding rows write to and read."""

    table_width: int
    block_tokens: int
    scratch: int
    device: torch.device


class Recording(NamedTuple):
    """`buffer` holds the inputs, `logits [rows, V]` what the last replay made of them."""

    buffer: Tensor
    places: list[Place]
    logits: Tensor
    replay: Callable[[], None]

    def fill(self, arrays: list[Array]) -> None:
        """Nobody waits for it."""
        self.buffer.copy_(pack(arrays, self.places, self.buffer.device), non_blocking=True)


def row_sizes(max_num_seqs: int) -> list[int]:
    """1, 2, 4 … and at last the largest batch there can be, up to `MAX_ROWS`."""
    most = min(max_num_seqs, MAX_ROWS)
    return [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]


def cuda_recorder(device: torch.device) -> Recorder:
    """Its recordings share their memory, so what one left is gone after another's replay."""
    pool = torch.cuda.graph_pool_handle()
    # One for all: the products' library keeps a workspace of its own for each stream.
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def record(compute: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        with torch.cuda.device(device):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(NUM_WARM_UPS):
                    compute()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                logits = compute()
        return logits, graph.replay

    return record


class DecodeGraphs:
    """Runs batches whose chunks are one token each, padded to the next size that was recorded."""

    def __init__(self, compute: Compute, recorder: Recorder, sizes: list[int], room: Room) -> None:
        """Raises LoadError where a replay does not give what was recorded; and what `recorder` raises."""
        self._room = room
        self._recordings: dict[int, Recording] = {}
        # The largest first: the others find room in its memory.
        for num_rows in sorted(sizes, reverse=True):
            self._recordings[num_rows] = _record(compute, recorder, num_rows, room)

    def takes(self, batch: Batch) -> bool:
        num_rows, table_width = map(int, batch.block_tables.shape)
        is_decode = len(batch.input_ids) == num_rows
        return is_decode and num_rows <= max(self._recordings) and table_width <= self._room.table_width

    def run(self, batch: Batch, carry: Carry | None = None) -> Tensor:
        """The logits `[S', V]` of the places to sample, of a batch that it takes."""
        num_rows = min(size for size in self._recordings if size >= len(batch.chunks))
        recording = self._recordings[num_rows]
        recording.fill(padded_rows(batch, num_rows, self._room))
        sampled, input_ids, *_ = unpack(recording.buffer, recording.places)
        if carry is not None:
            carry.fill(input_ids[: len(carry.sources)], *upload([carry.sources], self._room.device))
        recording.replay()
        # A copy: the next replay writes where this one's logits are.
        return recording.logits.index_select(0, sampled[: len(batch.sampled)])


def _record(compute: Compute, recorder: Recorder, num_rows: int, room: Room) -> Recording:
    arrays = trial_rows(num_rows, room)
    places = lay_places(arrays)
    buffer = pack(arrays, places, room.device).to(room.device, copy=True)
    _, input_ids, positions, slots, *ends, tables = unpack(buffer, places)
    query_ends, key_ends, num_keys = ends
    # What bounds the keys is recorded too, so it has to bound those of all times.
    max_keys = room.table_width * room.block_tokens
    step = VarlenStep(slots, query_ends, key_ends, num_keys, tables, 1, max_keys)

    def run() -> Tensor:
        return compute(input_ids, positions, step)

    recording = Recording(buffer, places, *recorder(run))
    # Other tokens than it was recorded with: it must read its inputs anew.
    arrays[INPUT_IDS] = arrays[INPUT_IDS] - 1
    recording.fill(arrays)
    expected = run().float()
    recording.replay()
    error = (recording.logits.float() - expected).norm() / expected.norm().clamp(min=1e-6)
    if not error < TOLERANCE:
        raise LoadError(f"replayed, a decode step of {num_rows} rows is off by {float(error):.0%}")
    return recording


def padded_rows(batch: Batch, num_rows: int, room: Room) -> list[Array]:
    """Places to sample, ids, positions and `VarlenStep`'s arrays; past the batch rows of one token each."""
    tables = np.full((num_rows, room.table_width), room.scratch, np.int32)
    tables[: len(batch.chunks), : batch.block_tables.shape[1]] = batch.block_tables
    slots = _padded(batch.slots, num_rows, room.scratch * room.block_tokens)
    columns = [_padded(array, num_rows, 0) for array in (batch.sampled, batch.input_ids, batch.positions)]
    return [*columns, slots, *_ends(_padded(batch.ends, num_rows, 1)), tables]


def trial_rows(num_rows: int, room: Room) -> list[Array]:
    """The first tokens of one sequence, as if each were decoded, over and over: all in the scratch block."""
    places = np.arange(num_rows) % min(NUM_TRIAL_TOKENS, room.block_tokens)
    tables = np.full((num_rows, room.table_width), room.scratch, np.int32)
    columns = [np.arange(num_rows), places + 1, places, room.scratch * room.block_tokens + places]
    return [*columns, *_ends(places + 1), tables]


def _ends(num_keys: Array) -> list[Array]:
    """`query_ends`, `key_ends` and `num_keys` of rows with one query each."""
    key_ends = np.concatenate(([0], np.cumsum(num_keys)))
    return [array.astype(np.int32) for array in (np.arange(len(num_keys) + 1), key_ends, num_keys)]


def _padded(array: Array, num_rows: int, value: int) -> Array:
    return np.pad(array, (0, num_rows - len(array)), constant_values=value)
