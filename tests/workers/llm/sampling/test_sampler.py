"""The sampler against plain references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.llm.sampling.sampler import FAILED, Draw, sample
from workers.llm.sampling.uniform import uniforms
from workers.messages import Sampling

NUM_DRAWS = 4000


def allowed(logits: torch.Tensor, sampling: Sampling) -> set[int]:
    """One row the slow way: temperature, top_k, top_p, min_p, one after the other."""
    probs = (logits.double() / sampling.temperature).softmax(-1)
    order = probs.argsort(descending=True).tolist()
    if sampling.top_k:
        order = order[: sampling.top_k]
    total = sum(float(probs[i]) for i in order)
    kept, mass = [], 0.0
    for i in order:
        if kept and mass >= sampling.top_p * total:
            break
        kept.append(i)
        mass += float(probs[i])
    return {i for i in kept if probs[i] >= sampling.min_p * probs.max()}


def draw_many(logits: torch.Tensor, sampling: Sampling, seed: int = 7) -> list[int]:
    draws = [Draw(sampling, seed, position) for position in range(NUM_DRAWS)]
    return sample(logits.expand(NUM_DRAWS, -1).clone(), draws).tolist()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"temperature": 0.5},
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.2},
        {"top_k": 12, "top_p": 0.8, "min_p": 0.05, "temperature": 1.5},
        {"top_k": 10_000},
        {"top_p": 0.0},
        {"top_k": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("vocab_size", [40, 700])
def test_frequencies(values: dict[str, float], vocab_size: int) -> None:
    logits = torch.randn(vocab_size, generator=torch.Generator().manual_seed(3)) * 2
    sampling = Sampling(1, **values)  # type: ignore[arg-type]
    kept = allowed(logits, sampling)
    counts = np.bincount(draw_many(logits, sampling), minlength=vocab_size)
    assert set(np.flatnonzero(counts)) <= kept
    probs = torch.zeros(vocab_size, dtype=torch.float64)
    index = torch.tensor(sorted(kept))
    probs[index] = (logits[index].double() / sampling.temperature).softmax(-1)
    expected = probs.numpy() * NUM_DRAWS
    # Six standard deviations, in each of the outcomes.
    assert (np.abs(counts - expected) <= 6 * np.sqrt(expected) + 6).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_row_depends_on_nothing_but_itself(data: st.DataObject) -> None:
    rows = data.draw(st.integers(2, 6))
    logits = (
        torch.randn(rows, 600, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))) * 3
    )
    draws = [
        Draw(
            Sampling(
                1,
                temperature=data.draw(st.sampled_from([0.0, 0.3, 1.0, 2.0])),
                top_p=data.draw(st.sampled_from([1.0, 0.9, 0.2])),
                top_k=data.draw(st.sampled_from([0, 3, 300, 599])),
                min_p=data.draw(st.sampled_from([0.0, 0.1])),
            ),
            data.draw(st.integers(-(2**63), 2**64)),
            data.draw(st.integers(0, 5000)),
        )
        for _ in range(rows)
    ]
    together = sample(logits, draws).tolist()
    assert together == [int(sample(logits[row : row + 1], [draws[row]])) for row in range(rows)]
    for row, draw in enumerate(draws):
        if draw.sampling.temperature:
            assert together[row] in allowed(logits[row], draw.sampling)
        else:
            assert together[row] == int(logits[row].argmax())


def test_rows_without_numbers_fail_alone() -> None:
    logits = torch.randn(5, 50)
    logits[1, 3] = float("nan")
    logits[2, 3] = float("inf")
    logits[3, :40] = float("-inf")
    sampling = Sampling(1, top_p=0.9)
    greedy = Sampling(1, temperature=0.0)
    ids = sample(logits, [Draw(s, 1, 0) for s in (sampling, sampling, greedy, sampling, greedy)]).tolist()
    assert ids[1] == ids[2] == FAILED
    assert ids[0] >= 0
    assert ids[3] >= 40
    assert ids[4] == int(logits[4].argmax())


def test_tiny_temperature_is_greedy() -> None:
    logits = torch.randn(1, 50)
    assert int(sample(logits, [Draw(Sampling(1, temperature=1e-30), 1, 0)])) == int(logits.argmax())


def test_uniforms_are_uniform_and_independent() -> None:
    numbers = uniforms([1] * 20_000 + [2] * 20_000, [*range(20_000)] * 2)
    assert numbers.dtype == np.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, 20, (0, 1))
    assert np.abs(counts - 2000).max() < 6 * 2000**0.5
    first, second = numbers[:20_000], numbers[20_000:]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03
