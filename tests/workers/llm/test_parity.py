"""Greedy answers are those of `model.generate`, token for token, whatever else happens in the run."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models import FAMILIES, MORE_FAMILIES
from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import GREEDY, Driver, change, little_cache

NUM_TOKENS = 14
PROMPTS = [
    [random.Random(size).randrange(2, 300) for _ in range(size)] for size in (1, 3, 40, 8, 17, 5, 33, 64, 2)
]
SAMPLING = change(GREEDY, max_tokens=NUM_TOKENS)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def expect_all(driver: Driver, job_ids: list[int], generate: Generate, family: str) -> None:
    """These jobs, of PROMPTS with SAMPLING, have the answers of `generate`."""
    for job_id, prompt in zip(job_ids, PROMPTS, strict=True):
        assert driver.token_ids(job_id) == generate(family, prompt, NUM_TOKENS)
        assert driver.answer(job_id).reason == "length"


@pytest.mark.parametrize("settings", [{}, {"block_tokens": 3}, {"max_num_seqs": 2}], ids=str)
def test_all_at_once(
    family: str, settings: dict[str, int], model_folder: Callable[[str], Path], generate: Generate
) -> None:
    driver = Driver(model_folder(family), **settings)
    job_ids = [driver.add_tokens(prompt, SAMPLING) for prompt in PROMPTS]
    driver.run()
    expect_all(driver, job_ids, generate, family)
    assert len({token_id for job_id in job_ids for token_id in driver.token_ids(job_id)}) > 20


def test_joins_leaves_and_chunks(
    family: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    driver = Driver(model_folder(family), max_batched_tokens=9)
    job_ids = []
    for prompt in PROMPTS:
        job_ids.append(driver.add_tokens(prompt, SAMPLING))
        leaver = driver.add_tokens(prompt[::-1], SAMPLING)
        driver.step()
        driver.step()
        driver.engine.cancel(leaver)
    driver.run()
    expect_all(driver, job_ids, generate, family)


def test_preemption(family: str, model_folder: Callable[[str], Path], generate: Generate) -> None:
    """The cache holds the longest sequence and little more: the newest give way again and again."""
    folder = model_folder(family)
    driver = Driver(folder, **little_cache(folder, 22))
    job_ids = [driver.add_tokens(prompt, SAMPLING) for prompt in PROMPTS]
    driver.run()
    assert driver.engine.stats().num_preemptions >= 2
    expect_all(driver, job_ids, generate, family)


@pytest.mark.parametrize("family", FAMILIES + MORE_FAMILIES)
def test_prefixes_that_others_have_computed(
    family: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    """Prompts that begin alike: together, one after another, while one is on its way; blocks are lost."""
    folder = model_folder(family)
    driver = Driver(folder, max_batched_tokens=24, **little_cache(folder, 50))
    whole = PROMPTS[7]
    prompts = [whole, whole, whole[:40], whole[:40] + PROMPTS[3], whole[:17], whole]
    job_ids = []
    for prompt in prompts:
        job_ids.append(driver.add_tokens(prompt, SAMPLING))
        driver.step()
    driver.run()
    job_ids += [driver.add_tokens(prompt, SAMPLING) for prompt in prompts]
    driver.run()
    for job_id, prompt in zip(job_ids, prompts * 2, strict=True):
        assert driver.token_ids(job_id) == generate(family, prompt, NUM_TOKENS)
    assert driver.engine.stats().num_shared_tokens > 200


def test_decodes_go_on_beside_a_long_prompt(llama: Path) -> None:
    driver = Driver(llama, max_batched_tokens=8)
    driver.add_tokens([5, 6, 7], change(GREEDY, max_tokens=20))
    driver.step()
    short = driver.engine._scheduler.running[0]
    long = driver.add_tokens(PROMPTS[7], GREEDY)
    while not driver.transcripts[long].answers:
        num_before = short.num_tokens
        driver.step()
        assert short.num_tokens == num_before + 1
    assert short.num_tokens > len(PROMPTS[7]) // 7
    driver.run()
