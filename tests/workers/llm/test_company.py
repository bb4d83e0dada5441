"""A seeded answer of the embedded model is the same alone and among 31 others, 100 times of 100."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.workers.llm.driver import Driver
from workers.llm.steps.batch import Batch
from workers.llm.steps.carry import Carry
from workers.messages import Sampling, TextPrompt, TextWork

OPENINGS = ["Once upon a time", "The little dog", "Tim and his mom went to", "One day a big red"]
NUM_TOKENS = 16


def work(number: int) -> TextWork:
    sampling = Sampling(NUM_TOKENS, temperature=1.0, seed=number, ignore_eos=True)
    prompt = " ".join(OPENINGS[(number + i) % len(OPENINGS)] for i in range(1 + number % 7))
    return TextWork([TextPrompt(prompt)], sampling)


@pytest.mark.parametrize(("dtype", "num_answers"), [("float32", 100), ("bfloat16", 40)])
def test_alone_and_among_31_others(dtype: str, num_answers: int) -> None:
    driver = Driver("embedded", dtype=dtype, cache_bytes=1 << 26)
    together = [driver.add(work(number)) for number in range(num_answers)]
    driver.run()
    assert driver.engine.limits.max_num_seqs == 32
    for number, job_id in enumerate(together):
        alone = driver.add(work(number))
        driver.run()
        assert driver.token_ids(alone) == driver.token_ids(job_id), number


def test_logits_to_the_bit(llama: Path) -> None:
    """Not only the tokens: what they are drawn from, in steps of any size."""
    expected = logits_of(llama)
    for settings in ({"max_batched_tokens": 3, "max_num_seqs": 2}, {"max_num_seqs": 1}, {"step_ahead": "on"}):
        found = logits_of(llama, **settings)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def logits_of(folder: Path, **settings: Any) -> list[torch.Tensor]:
    """What the first of five sequences gets, step by step."""
    driver = Driver(folder, **settings)
    run, first = driver.runner.run, []

    def note(batch: Batch, carry: Carry | None = None) -> torch.Tensor:
        logits = run(batch, carry)
        for row, chunk in enumerate(batch.sampled_chunks):
            if chunk.sequence.job.job_id == 1:
                first.append(logits[row].clone())
        return logits

    driver.runner.run = note  # type: ignore[method-assign]
    for number in range(5):
        driver.add_tokens([*range(20, 31 + number)], Sampling(12, temperature=0.0, ignore_eos=True))
    driver.run()
    assert len(first) == 12
    return first
