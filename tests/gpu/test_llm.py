"""The language engine on a GPU: the same answers as on the CPU by every attention, its memory given back."""

import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models import FAMILIES
from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import GREEDY, Driver, change
from tests.workers.llm.test_parity import PROMPTS
from workers.llm.varlen import VarlenAttention, find_varlen

DEVICE = "cuda"
NUM_TOKENS = 14
SAMPLING = change(GREEDY, max_tokens=NUM_TOKENS)
PLAIN = {"dtype": "float32", "block_tokens": 16}
HALF = {"dtype": "bfloat16", "block_tokens": 256, "cache_bytes": 1 << 26}
GRAPHS = HALF | {"cuda_graphs": True, "max_num_seqs": 6}
# Some end on a block's last place or its neighbours, some are longer than a block.
LONG_PROMPTS = [
    [random.Random(size).randrange(2, 300) for _ in range(size)] for size in (255, 256, 257, 300, 400)
]
# Of the spread of a step's logits: by so much bfloat16 may miss the best of float32. A token that was
# drawn at random misses it by about 2.5.
MAX_GAP = 0.5

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")


@pytest.fixture
def varlen() -> None:
    if find_varlen(torch.device(DEVICE)) is None:
        pytest.skip("this GPU or this torch has no varlen_attn")


def make_driver(folder: Path, **settings: Any) -> Driver:
    return Driver(folder, device=DEVICE, **settings)


def expect_varlen(driver: Driver, *, has_graphs: bool) -> None:
    """What failed its check at the start would be gone."""
    runner = driver.engine._runner
    assert runner._varlen is not None
    assert all(isinstance(attention, VarlenAttention) for attention in runner._attentions)
    assert (runner._graphs is not None) == has_graphs


def largest_gap(folder: Path, prompt: list[int], answer: list[int]) -> float:
    """How far below the best the answer's tokens are to the model in float32, which is given them."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    chosen = logits.gather(1, torch.tensor(answer).unsqueeze(1)).squeeze(1)
    return float(((logits.max(-1).values - chosen) / logits.std(-1)).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answers_of_generate_in_float32(
    family: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    driver = make_driver(model_folder(family), **PLAIN, max_batched_tokens=40)
    job_ids = []
    for prompt in PROMPTS:
        job_ids.append(driver.add_tokens(prompt, SAMPLING))
        driver.step()
    driver.run()
    for job_id, prompt in zip(job_ids, PROMPTS, strict=True):
        assert driver.token_ids(job_id) == generate(family, prompt, NUM_TOKENS)


@pytest.mark.usefixtures("varlen")
@pytest.mark.parametrize("has_graphs", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_answers_of_float32_in_half_precision(
    family: str, has_graphs: bool, model_folder: Callable[[str], Path]
) -> None:
    folder = model_folder(family)
    driver = make_driver(folder, **(GRAPHS if has_graphs else HALF), max_batched_tokens=96)
    expect_varlen(driver, has_graphs=has_graphs)
    prompts = PROMPTS + LONG_PROMPTS
    job_ids = []
    for prompt in prompts:
        job_ids.append(driver.add_tokens(prompt, SAMPLING))
        driver.step()
    driver.run()
    for job_id, prompt in zip(job_ids, prompts, strict=True):
        assert largest_gap(folder, prompt, driver.token_ids(job_id)) < MAX_GAP


@pytest.mark.usefixtures("varlen")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_replayed_answer_is_the_computed_one(family: str, model_folder: Callable[[str], Path]) -> None:
    """Alone, so that both have the same shapes, and with these the same kernels."""
    drivers = [make_driver(model_folder(family), **settings) for settings in (HALF, GRAPHS)]
    for driver, has_graphs in zip(drivers, (False, True), strict=True):
        expect_varlen(driver, has_graphs=has_graphs)
    for prompt in PROMPTS + LONG_PROMPTS:
        computed, replayed = (driver.generate(prompt, SAMPLING).token_ids for driver in drivers)
        assert replayed == computed


@pytest.mark.usefixtures("varlen")
def test_what_it_does_not_know_is_computed_as_before(model_folder: Callable[[str], Path]) -> None:
    for family in ("gemma2", "gpt_oss"):
        folder = model_folder(family)
        driver = make_driver(folder, **GRAPHS)
        answer = driver.generate(PROMPTS[2], SAMPLING).token_ids
        assert largest_gap(folder, PROMPTS[2], answer) < MAX_GAP
        assert driver.engine._runner._graphs is None


@pytest.mark.parametrize("settings", [PLAIN, HALF, GRAPHS], ids=["plain", "half", "graphs"])
def test_32_requests_at_once(settings: dict[str, Any], model_folder: Callable[[str], Path]) -> None:
    """Some drawn, some greedy, some cancelled; then nothing is left of them, and one more is served."""
    driver = make_driver(model_folder("llama"), **settings)
    expected = driver.generate(PROMPTS[3]).token_ids
    prompts = (PROMPTS + LONG_PROMPTS) * 3
    gc.collect()
    before = torch.cuda.memory_allocated()
    for place, prompt in enumerate(prompts[:32]):
        job_id = driver.add_tokens(prompt, change(GREEDY, max_tokens=8 + place, temperature=place % 3 / 2))
        driver.step()
        if place % 8 == 7:
            driver.engine.cancel(job_id)
    driver.run()
    gc.collect()
    assert torch.cuda.memory_allocated() <= before
    assert driver.generate(PROMPTS[3]).token_ids == expected


@pytest.mark.parametrize("settings", [PLAIN, HALF, GRAPHS], ids=["plain", "half", "graphs"])
def test_an_engines_memory_comes_back(settings: dict[str, Any], model_folder: Callable[[str], Path]) -> None:
    """What the first leaves is the libraries' own: another engine leaves no more."""
    left = []
    for _ in range(2):
        driver = make_driver(model_folder("llama"), **settings)
        driver.generate(PROMPTS[3])
        del driver
        gc.collect()
        left.append(torch.cuda.memory_allocated())
    assert left[1] <= left[0]
