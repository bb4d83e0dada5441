"""Greedy answers of the families of language models are `model.generate`'s, by the kernels and without."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import FAMILIES, MORE_FAMILIES
from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import GREEDY, Driver, change
from tests.workers.llm.test_parity import PROMPTS

NUM_TOKENS = 14
SAMPLING = change(GREEDY, max_tokens=NUM_TOKENS)


@pytest.mark.parametrize(
    ("family", "kernels"),
    [(family, "auto") for family in MORE_FAMILIES] + [(f, "off") for f in FAMILIES + MORE_FAMILIES],
)
def test_joins_leaves_and_preemption(
    family: str, kernels: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    folder = model_folder(family)
    one_block = Driver(folder, block_tokens=4, kernels=kernels).token_bytes * 4
    settings = {"block_tokens": 4, "cache_bytes": one_block * 24, "max_batched_tokens": 40}
    driver = Driver(folder, kernels=kernels, **settings)
    job_ids = driver.run_among_leavers(PROMPTS, SAMPLING)
    assert driver.engine.stats().num_preemptions
    for job_id, prompt in zip(job_ids, PROMPTS, strict=True):
        assert driver.token_ids(job_id) == generate(family, prompt, NUM_TOKENS)
