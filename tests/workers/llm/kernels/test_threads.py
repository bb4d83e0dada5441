"""Threads share a kernel's work; what comes of it is the same, to the bit, whatever their number."""

import multiprocessing

import torch
from torch import Tensor

from tests.workers.llm.kernels.test_attention import CHUNKS, heads, make_batch
from workers.llm.attention.cache import LayerShape
from workers.llm.attention.scores import Scores
from workers.llm.kernels import library
from workers.llm.kernels.attention import KernelAttention, KernelCache, StepTables
from workers.llm.kernels.library import kernels_for
from workers.llm.kernels.pages import Pages
from workers.llm.kernels.products import KernelProduct


def test_three_threads_say_what_one_says() -> None:
    """In a process of its own: threads stay."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(is_same) is True


def is_same() -> bool:
    torch.set_num_threads(1)
    alone = compute()
    library._library().set_threads(3)
    return all(torch.equal(a, b) for _ in range(30) for a, b in zip(compute(), alone, strict=True))


@torch.inference_mode()
def compute() -> list[Tensor]:
    torch.manual_seed(1)
    kernels = kernels_for(torch.float32)
    assert kernels
    attention = KernelAttention(kernels, LayerShape(4, 64, 64, torch.float32), _cache(), StepTables())
    attention.tables.lay_out(batch := make_batch(CHUNKS, 16))
    tensors = [heads(len(batch.positions), count, 64, torch.float32) for count in (12, 4, 4)]
    product = KernelProduct(kernels, torch.randn(1000, 256), torch.randn(1000), Pages())
    x = torch.randn(1, 70, 256)
    return [attention.attend(*tensors, Scores(None, None, None), None), product(x), product(x[:, :1])]


def _cache() -> KernelCache:
    return KernelCache(LayerShape(4, 64, 64, torch.float32), 512, 16)
