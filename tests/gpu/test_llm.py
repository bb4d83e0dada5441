"""The language engine on a GPU: the same answers as on the CPU by every attention, its memory given back."""

import gc
import random
import time
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
from workers.llm.answers.logprobs import Likelihoods
from workers.llm.attention.varlen import VarlenAttention, find_varlen
from workers.llm.steps.readout import CudaReadout
from workers.messages import Sampling, TokenBias

DEVICE = "cuda"
NUM_TOKENS = 14
SAMPLING = change(GREEDY, max_tokens=NUM_TOKENS)
PLAIN: dict[str, Any] = {"dtype": "float32"}
HALF: dict[str, Any] = {"dtype": "bfloat16", "cache_bytes": 1 << 26}
GRAPHS = HALF | {"cuda_graphs": True, "max_num_seqs": 6}
RANDOM = Sampling(max_tokens=20, temperature=1.0, seed=5, ignore_eos=True)
WISHES: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0},
    {"top_k": 7, "min_p": 0.01},
    {"top_p": 0.8},
    {"presence_penalty": 0.5, "repetition_penalty": 1.1, "logit_bias": [TokenBias(7, 1.0)]},
    {"min_tokens": 20, "stop_token_ids": [*range(200)]},
    {"top_logprobs": 2},
]
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
    runner = driver.runner
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


@pytest.mark.parametrize("step_ahead", ["auto", "off"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_answers_of_generate_in_float32(
    family: str, step_ahead: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    driver = make_driver(model_folder(family), **PLAIN, max_batched_tokens=40, step_ahead=step_ahead)
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
        assert driver.runner._graphs is None


@pytest.mark.usefixtures("varlen")
def test_blocks_are_as_attention_likes_them(model_folder: Callable[[str], Path]) -> None:
    drivers = [make_driver(model_folder("llama"), **settings) for settings in [HALF, PLAIN]]
    assert [driver.engine._flights._block_tokens for driver in drivers] == [256, 16]


@pytest.mark.parametrize("settings", [PLAIN, HALF, GRAPHS], ids=["plain", "half", "graphs"])
def test_steps_ahead_give_what_one_at_a_time_gives(
    settings: dict[str, Any], model_folder: Callable[[str], Path]
) -> None:
    """One alone, so that its steps have the same shapes and kernels; drawn and greedy, by every end."""
    drivers = [make_driver(model_folder("llama"), **settings, step_ahead=each) for each in ("auto", "off")]
    whole = drivers[1].generate(PROMPTS[3], RANDOM)
    ends: list[dict[str, Any]] = [
        {},
        {"stop_token_ids": [whole.token_ids[9]]},
        {"stop": [whole.text[5:7]]},
        {"temperature": 0.0},
    ]
    for values in ends:
        answers = []
        for driver, is_ahead in zip(drivers, (True, False), strict=True):
            job_id, seen = driver.add_tokens(PROMPTS[3], change(RANDOM, **values)), set()
            while driver.engine.has_work():
                driver.step()
                seen.add(driver.engine._flights.is_under_way)
            driver.check_idle()
            assert (True in seen) == is_ahead
            answers.append(vars(driver.answer(job_id)))
        assert answers[0] == answers[1]


@pytest.mark.parametrize("wish", WISHES, ids=str)
@pytest.mark.parametrize("settings", [PLAIN, HALF, GRAPHS], ids=["plain", "half", "graphs"])
def test_nothing_waits_for_the_device_but_who_reads(
    settings: dict[str, Any],
    wish: dict[str, Any],
    model_folder: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch raises where an operation would synchronise; only tokens, and what is told of them, are read."""
    driver = make_driver(model_folder("llama"), **settings)
    # What is done once, and may wait.
    driver.generate(PROMPTS[4], change(RANDOM, **wish))
    num_reads = 0

    def awaited(read: Callable[..., Any]) -> Callable[..., Any]:
        def wait(*arguments: Any) -> Any:
            nonlocal num_reads
            num_reads += 1
            torch.cuda.set_sync_debug_mode("default")
            try:
                return read(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        return wait

    monkeypatch.setattr(CudaReadout, "read", awaited(CudaReadout.read))
    monkeypatch.setattr(Likelihoods, "of", awaited(Likelihoods.of))
    job_ids = [driver.add_tokens(prompt, change(RANDOM, **wish)) for prompt in PROMPTS[:5]]
    job_ids.append(driver.add_tokens(PROMPTS[5], SAMPLING))
    torch.cuda.set_sync_debug_mode("error")
    try:
        driver.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert num_reads >= 20
    assert [len(driver.token_ids(job_id)) for job_id in job_ids] == [20] * 5 + [NUM_TOKENS]


def test_a_step_takes_the_devices_time(model_folder: Callable[[str], Path]) -> None:
    """By its own clock, that of one step, with two under way: their sum is no more than the whole takes."""
    driver = make_driver(model_folder("llama"), **PLAIN)
    driver.generate(PROMPTS[3], RANDOM)
    noted: list[float] = []
    note_time = driver.engine._scheduler.note_time

    def note(chunks: Any, step_s: float) -> None:
        noted.append(step_s)
        note_time(chunks, step_s)

    driver.engine._scheduler.note_time = note  # type: ignore[method-assign]
    began = time.monotonic()
    driver.generate(PROMPTS[3], RANDOM)
    taken_s = time.monotonic() - began
    assert len(noted) == 20
    assert min(noted) > 0
    assert sum(noted) <= taken_s


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
