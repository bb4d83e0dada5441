"""Greedy answers of the families of language models are `model.generate`'s, by the kernels and without."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import FAMILIES, MORE_FAMILIES
from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import Driver, little_cache
from tests.workers.llm.test_parity import PROMPTS, SAMPLING, expect_all


@pytest.mark.parametrize(
    ("family", "kernels"),
    [(family, "auto") for family in MORE_FAMILIES] + [(f, "off") for f in FAMILIES + MORE_FAMILIES],
)
def test_joins_leaves_and_preemption(
    family: str, kernels: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    folder = model_folder(family)
    driver = Driver(folder, kernels=kernels, max_batched_tokens=40, **little_cache(folder, 24))
    job_ids = driver.run_among_leavers(PROMPTS, SAMPLING)
    assert driver.engine.stats().num_preemptions
    expect_all(driver, job_ids, generate, family)
