"""Pieces of large regions do not overlap, and outlive who handed them out."""

import gc
from itertools import pairwise

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
