"""Where each group of chunks finds its queries, keys and values; made once per step and window."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workers.llm.steps.batch import Batch, Ints, Rows
from workers.llm.steps.upload import upload


class Group(NamedTuple):
    """R chunks computed as one padded call: N queries and L keys each.

    `start` and `stop` bound their packed tokens. `blocks [R, B]` hold the keys. `mask [R, 1, N, L]` is
    added to the scores; None when nothing is hidden, or when `is_causal` says it all. Where the chunks
    differ in length, `pad [R·N]` is the packed place of each query and `unpad` undoes it.
    """

    start: int
    stop: int
    num_rows: int
    num_keys: int
    blocks: Tensor
    mask: Tensor | None
    is_causal: bool
    pad: Tensor | None
    unpad: Tensor | None


class Layout:
    """One step as the attention layers see it."""

    def __init__(self, batch: Batch, dtype: torch.dtype, device: torch.device) -> None:
        self._batch = batch
        self._dtype = dtype
        self._device = device
        self._groups: dict[int | None, list[Group]] = {}

    @cached_property
    def slots(self) -> Tensor:
        """Where the tokens' keys and values go, `[T]`."""
        (slots,) = upload([self._batch.slots], self._device)
        return slots

    def groups(self, window: int | None) -> list[Group]:
        """The groups for layers that see the last `window` tokens only (None: all)."""
        groups = self._groups.get(window)
        if groups is None:
            groups = [self._group(rows, window) for rows in self._batch.groups()]
            self._groups[window] = groups
        return groups

    def _group(self, rows: Rows, window: int | None) -> Group:
        part = slice(rows.start, rows.stop)
        starts, ends = self._batch.starts[part], self._batch.ends[part]
        blocks, firsts = self._blocks(part, window)
        num_keys = int((ends - firsts).max())
        start, stop = int(self._batch.offsets[rows.start]), int(self._batch.offsets[rows.stop])
        is_causal = len(starts) == 1 and starts[0] == 0 and (window is None or ends[0] <= window)
        padding = _padding(starts, ends, start)
        places = [] if is_causal else _places(starts, ends, firsts, window)
        on_device, *rest = upload([blocks, *padding, *places], self._device)
        pad, unpad = rest[:2] if padding else (None, None)
        mask = self._mask(rest[-2], rest[-1], window) if places else None
        return Group(start, stop, len(starts), num_keys, on_device, mask, bool(is_causal), pad, unpad)

    def _blocks(self, part: slice, window: int | None) -> tuple[Ints, Ints]:
        """The blocks `[R, B]` that a group's queries see, and the position of each row's first key."""
        starts, ends, size = self._batch.starts[part], self._batch.ends[part], self._batch.block_tokens
        first_blocks = np.zeros_like(starts) if window is None else np.maximum(starts - window + 1, 0) // size
        last_blocks = (ends - 1) // size
        columns = first_blocks[:, None] + np.arange((last_blocks - first_blocks).max() + 1)
        # Past a row's end its table is padded with its own: another sequence's may hold what is no number.
        columns = np.minimum(columns, self._batch.block_tables.shape[1] - 1)
        return np.take_along_axis(self._batch.block_tables[part], columns, 1), first_blocks * size

    def _mask(self, queries: Tensor, keys: Tensor, window: int | None) -> Tensor:
        """What is added to the scores of queries and keys at these positions."""
        is_hidden = keys[:, None, :] > queries[:, :, None]
        if window is not None:
            is_hidden |= keys[:, None, :] <= queries[:, :, None] - window
        mask = torch.zeros(is_hidden.shape, dtype=self._dtype, device=self._device)
        return mask.masked_fill_(is_hidden, float("-inf")).unsqueeze(1)


def _places(starts: Ints, ends: Ints, firsts: Ints, window: int | None) -> list[Ints]:
    """The positions of queries `[R, N]` and keys `[R, L]`; of none where each query sees all its keys."""
    num_queries, num_keys = int((ends - starts).max()), int((ends - firsts).max())
    if num_queries == 1 and (ends - firsts).min() == num_keys and num_keys <= (window or num_keys):
        return []
    queries = np.minimum(starts[:, None] + np.arange(num_queries), ends[:, None] - 1)
    return [queries, firsts[:, None] + np.arange(num_keys)]


def _padding(starts: Ints, ends: Ints, offset: int) -> list[Ints]:
    """`pad` and `unpad` of chunks that differ in length, the first of them at packed place `offset`."""
    sizes = ends - starts
    widest = int(sizes.max())
    if (sizes == widest).all():
        return []
    places = np.arange(widest)
    first = offset + np.cumsum(sizes) - sizes
    pad = first[:, None] + np.minimum(places, sizes[:, None] - 1)
    return [pad.ravel(), np.flatnonzero(places < sizes[:, None])]
