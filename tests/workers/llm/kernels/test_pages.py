"""Pieces of large regions do not overlap, and outlive who handed them out."""

import gc
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from workers.llm.kernels.pages import ALIGNMENT, REGION_BYTES, Pages


def test_pieces_are_aligned_apart_and_writable() -> None:
    pages = Pages()
    pieces = [pages.take((number, 3), torch.bfloat16) for number in range(1, 40)]
    for number, piece in enumerate(pieces):
        piece.fill_(number)
    assert all(piece.data_ptr() % ALIGNMENT == 0 for piece in pieces)
    assert all((piece == number).all() for number, piece in enumerate(pieces))
    # One after another: a region is used up before the next is made.
    ends = [(piece.data_ptr(), piece.data_ptr() + piece.nbytes) for piece in pieces]
    assert all(0 <= after[0] - before[1] < ALIGNMENT for before, after in pairwise(ends))


def test_what_does_not_fit_begins_a_region_and_lives_on() -> None:
    pages = Pages()
    small = pages.take((5,), torch.float32)
    large = pages.take((REGION_BYTES // 4 + 1,), torch.float32)
    small.fill_(1), large[-1:].fill_(2)
    del pages
    gc.collect()
    assert small.tolist() == [1] * 5
    assert (large[0], large[-1]) == (0, 2)


def test_an_empty_piece() -> None:
    assert Pages().take((0, 7), torch.float32).shape == (0, 7)


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this system has no large pages"
)
def test_the_system_was_asked_for_large_pages() -> None:
    piece = Pages().take((1024,), torch.float32)
    piece.fill_(1)
    flags = flags_at(piece.data_ptr())
    assert "hg" in flags
    # Shared memory would not get them.
    assert "sh" not in flags


def flags_at(address: int) -> list[str]:
    """Of the mapping that the address is in, as Linux tells them."""
    is_inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            begin, end = (int(part, 16) for part in name.split("-"))
            is_inside = begin <= address < end
        elif is_inside and name == "VmFlags:":
            return rest
    raise AssertionError("no mapping")
