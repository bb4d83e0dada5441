"""The attention kernel says what torch's operators say, and of each row the same in any company."""

import random
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from workers.detokenizer import Detokenizer
from workers.llm.answers.sequence import Answer, Job, Sequence
from workers.llm.attention.cache import LayerCache, LayerShape
from workers.llm.attention.layout import Layout
from workers.llm.attention.paged import PagedAttention
from workers.llm.attention.scores import Scores
from workers.llm.kernels.attention import KernelAttention, KernelCache, StepTables
from workers.llm.kernels.library import kernels_for
from workers.llm.scheduling.chunks import Chunk
from workers.llm.steps.batch import Batch
from workers.messages import Sampling

CPU = torch.device("cpu")
# (tokens in the cache, tokens of the chunk)
CHUNKS = [(0, 40), (37, 1), (5, 9), (200, 1), (0, 1), (90, 33), (15, 1), (16, 1), (590, 20)]
# More than go through the kernel at once.
NUM_TOKENS = 600


class Shape(NamedTuple):
    num_heads: int
    num_kv_heads: int
    key_size: int
    value_size: int


SHAPES = [
    Shape(12, 4, 64, 64),
    Shape(4, 4, 16, 16),
    Shape(8, 1, 80, 72),
    Shape(3, 3, 24, 40),
    Shape(32, 1, 96, 8),
    Shape(2, 1, 23, 33),
]


def some_sequence(num_cached_tokens: int, token_ids: list[int], block_table: list[int]) -> Sequence:
    sequence = Sequence(
        Job(0, Sampling(1)), 0, token_ids, Answer(Detokenizer(lambda _: "", frozenset(), []), [])
    )
    sequence.num_cached_tokens, sequence.block_table = num_cached_tokens, block_table
    return sequence


def make_batch(chunks: list[tuple[int, int]], block_tokens: int) -> Batch:
    blocks = list(range(512))
    random.Random(1).shuffle(blocks)
    sequences = []
    for start, size in chunks:
        taken = [blocks.pop() for _ in range(-(-(start + size) // block_tokens))]
        ids = list(range(start + size))
        sequences.append(some_sequence(start, ids, taken))
    return Batch([Chunk(s, size) for s, (_, size) in zip(sequences, chunks, strict=True)], block_tokens)


def heads(num_tokens: int, num_heads: int, size: int, dtype: torch.dtype) -> Tensor:
    """As models make them: [1, H, T, D], tokens before heads in memory."""
    return torch.randn(1, num_tokens, num_heads, size).to(dtype).transpose(1, 2)


def as_kernels_have_it(cache: LayerCache) -> list[Tensor]:
    """Keys and values with what they have in 32 bits side by side."""
    unit, found = 4 // cache.keys.itemsize, []
    for part in (cache.keys.permute(0, 2, 3, 1), cache.values.permute(0, 2, 1, 3)):
        filled = pad(part, (0, 0, 0, -part.shape[2] % unit))
        found.append(filled.unflatten(2, (-1, unit)).transpose(3, 4))
    return found


def attend(
    shape: Shape, batch: Batch, dtype: torch.dtype, scores: Scores, window: int | None
) -> list[Tensor]:
    """By torch and by the kernel, over the same cache."""
    torch.manual_seed(3)
    layer = LayerShape(shape.num_kv_heads, shape.key_size, shape.value_size, dtype)
    by_torch = PagedAttention(LayerCache(layer, 512, batch.block_tokens, CPU))
    by_torch.cache.keys.normal_(), by_torch.cache.values.normal_()
    kernels = kernels_for(dtype)
    assert kernels
    by_kernel = KernelAttention(kernels, layer, KernelCache(layer, 512, batch.block_tokens), StepTables())
    keys, values = as_kernels_have_it(by_torch.cache)
    by_kernel.cache.keys.copy_(keys), by_kernel.cache.values.copy_(values)
    by_torch.layout = Layout(batch, dtype, CPU)
    by_kernel.tables.lay_out(batch)
    num_tokens = len(batch.positions)
    query = heads(num_tokens, shape.num_heads, shape.key_size, dtype)
    key = heads(num_tokens, shape.num_kv_heads, shape.key_size, dtype)
    value = heads(num_tokens, shape.num_kv_heads, shape.value_size, dtype)
    outputs = [attention.attend(query, key, value, scores, window) for attention in (by_torch, by_kernel)]
    keys, values = as_kernels_have_it(by_torch.cache)
    assert torch.equal(by_kernel.cache.keys, keys)
    assert torch.equal(by_kernel.cache.values, values)
    return outputs


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("block_tokens", [16, 3, 32])
def test_as_torch(shape: Shape, block_tokens: int, dtype: torch.dtype) -> None:
    batch = make_batch(CHUNKS, block_tokens)
    expected, found = attend(shape, batch, dtype, Scores(0.2, None, None), None)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(
        found, expected, **({} if dtype == torch.float32 else {"rtol": 0.05, "atol": 0.05})
    )


@pytest.mark.parametrize("window", [1, 7, 16, 50, 300])
@pytest.mark.parametrize("block_tokens", [16, 3])
def test_windows(window: int, block_tokens: int) -> None:
    batch = make_batch(CHUNKS, block_tokens)
    expected, found = attend(SHAPES[0], batch, torch.float32, Scores(None, None, None), window)
    torch.testing.assert_close(found, expected)


def test_softcap_and_sinks() -> None:
    batch = make_batch(CHUNKS, 16)
    for scores in (
        Scores(0.3, 5.0, None),
        Scores(None, None, torch.randn(12)),
        Scores(0.1, 2.0, torch.randn(12)),
    ):
        expected, found = attend(SHAPES[0], batch, torch.float32, scores, 20)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("window", [None, 7, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_row_does_not_depend_on_its_company(dtype: torch.dtype, window: int | None) -> None:
    """The same tokens at once and in chunks, beside others: the same bits."""
    torch.manual_seed(4)
    tensors = [heads(NUM_TOKENS, num_heads, 64, dtype) for num_heads in (12, 4, 4)]
    cuts = ([0, NUM_TOKENS], [0, 1, 8, 9, 50, 251, 500, 599, NUM_TOKENS], list(range(NUM_TOKENS + 1)))
    whole, chunked, stepwise = (attend_in_chunks(tensors, places, dtype, window) for places in cuts)
    assert torch.equal(whole, chunked)
    assert torch.equal(whole, stepwise)


def attend_in_chunks(
    tensors: list[Tensor], cuts: list[int], dtype: torch.dtype, window: int | None
) -> Tensor:
    layer, kernels = LayerShape(4, 64, 64, dtype), kernels_for(dtype)
    assert kernels
    attention = KernelAttention(kernels, layer, KernelCache(layer, 128, 16), StepTables())
    outputs = []
    for start, end in pairwise(cuts):
        ids = list(range(NUM_TOKENS + 3))
        own = some_sequence(start, ids, list(range(38)))
        other = some_sequence(end, ids, list(range(40, 80)))
        chunks = [Chunk(own, end - start), Chunk(other, 1 + start % 3)]
        attention.tables.lay_out(batch := Batch(chunks, 16))
        parts = [
            [t[:, :, start:end], torch.randn(1, t.shape[1], 1 + start % 3, 64).to(dtype)] for t in tensors
        ]
        is_first = batch.chunks[0].sequence is own
        packed = [torch.cat(part if is_first else part[::-1], 2) for part in parts]
        output = attention.attend(*packed, Scores(None, None, None), window)
        outputs.append(output[:, : end - start] if is_first else output[:, start - end :])
    return torch.cat(outputs, 1)
