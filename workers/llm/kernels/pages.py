"""Memory for weights, in pages of 2 MB where the system has them.

A sweep over weights touches each page once: with pages of 4 KB looking up where they are took a quarter of a
product's time.
"""

import math
import mmap
from contextlib import suppress

import torch
from torch import Tensor

PAGE_BYTES = 2 << 20
REGION_BYTES = 64 << 20
ALIGNMENT = 64


class Pages:
    """Hands out pieces of large regions; what is never written takes no memory. A region lives as long as
    one of its pieces."""

    def __init__(self) -> None:
        self._left = torch.empty(0, dtype=torch.uint8)

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Zeros, at a multiple of 64 bytes."""
        num_bytes = math.prod(shape) * dtype.itemsize
        num_taken = -(-num_bytes // ALIGNMENT) * ALIGNMENT
        if num_taken > len(self._left):
            self._left = _make_region(max(num_taken, REGION_BYTES))
        piece, self._left = self._left[:num_bytes], self._left[num_taken:]
        return piece.view(dtype).view(shape)


def _make_region(num_bytes: int) -> Tensor:
    """At a multiple of a page, as large pages must be."""
    # Private: shared memory has large pages only where the system's owner said so.
    memory = mmap.mmap(-1, num_bytes + PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # Not every system has large pages, nor lets everyone have them.
    with suppress(AttributeError, OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    region = torch.frombuffer(memory, dtype=torch.uint8)
    start = -region.data_ptr() % PAGE_BYTES
    return region[start : start + num_bytes]
