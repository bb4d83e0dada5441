"""Greedy answers by the layout, the metadata and the cache that `varlen_attn` is given are `generate`'s.

Where the function itself runs is tests/gpu; here another stands in for it that keeps to its contract.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import GREEDY, Driver, change, little_cache
from tests.workers.llm.flash import Flash
from tests.workers.llm.kernels.test_attention import heads, make_batch
from tests.workers.llm.test_parity import NUM_TOKENS, PROMPTS, SAMPLING, expect_all
from workers.llm.attention.cache import LayerCache, LayerShape
from workers.llm.attention.scores import Scores
from workers.llm.attention.varlen import Varlen, VarlenAttention, find_varlen, make_step, step_arrays

CPU = torch.device("cpu")
# gemma2 caps its scores and gpt_oss has sinks: there the common operators stay.
WITH, WITHOUT = ("llama", "qwen3", "mistral", "gemma3_text", "gpt2"), ("gemma2", "gpt_oss")


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> Flash:
    flash = Flash(page_tokens=4)
    stand_in(flash, monkeypatch)
    return flash


def stand_in(flash: Flash, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: no kernels for a CPU, and a function that takes the model's layers."""
    from workers.llm.loading import prepare

    monkeypatch.setattr(prepare, "find_varlen", lambda _: flash.varlen)
    monkeypatch.setattr(prepare, "_kernels", prepare._varlen)


@pytest.mark.parametrize("step_ahead", ["off", "on"])
@pytest.mark.parametrize("family", WITH + WITHOUT)
def test_joins_leaves_and_preemption(
    family: str, step_ahead: str, flash: Flash, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    folder = model_folder(family)
    driver = Driver(folder, step_ahead=step_ahead, max_batched_tokens=40, **little_cache(folder, 24))
    job_ids = driver.run_among_leavers(PROMPTS, SAMPLING)
    assert driver.engine.stats().num_preemptions
    expect_all(driver, job_ids, generate, family)
    assert bool(flash.num_calls) == bool(flash.num_mixed) == (family in WITH)


@pytest.mark.parametrize("block_tokens", [4, 32])
def test_prefixes_that_others_have_computed(block_tokens: int, flash: Flash, llama: Path) -> None:
    driver = Driver(llama, block_tokens=block_tokens, max_batched_tokens=24)
    alone = driver.generate(PROMPTS[7], SAMPLING).token_ids
    again = [driver.add_tokens(PROMPTS[7], SAMPLING) for _ in range(3)]
    driver.run()
    assert [driver.token_ids(job_id) for job_id in again] == [alone] * 3
    assert driver.engine.stats().num_shared_tokens
    assert flash.num_calls


def test_a_window_is_the_keys_left_of_the_query(flash: Flash, model_folder: Callable[[str], Path]) -> None:
    Driver(model_folder("gemma3_text"), block_tokens=4).generate(PROMPTS[2])
    assert flash.windows == {(-1, 0), (6, 0)}


def test_drafts(flash: Flash, llama: Path) -> None:
    """Chunks of several tokens after a context, some of them taken back."""
    plain = Driver(llama, block_tokens=4).generate(PROMPTS[2] * 2, change(GREEDY, max_tokens=40))
    driver = Driver(llama, block_tokens=4, speculation="prompt_lookup")
    assert driver.generate(PROMPTS[2] * 2, change(GREEDY, max_tokens=40)).token_ids == plain.token_ids
    assert flash.num_calls


@pytest.mark.parametrize("fault", ["wrong", "raises", "no number"])
def test_without_it_where_it_does_not_work(
    fault: str,
    llama: Path,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flash = Flash(page_tokens=4)

    def attend(query: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        flash.num_calls += 1
        if fault == "raises":
            raise RuntimeError("no such\nkernel image")
        return torch.full_like(query, float("nan") if fault == "no number" else 1.0)

    flash.varlen = Varlen(attend, (torch.float32,), 4)
    stand_in(flash, monkeypatch)
    with caplog.at_level(logging.WARNING):
        driver = Driver(llama, block_tokens=4)
    assert [record.message for record in caplog.records] == ["not with kernels"]
    num_calls = flash.num_calls
    assert num_calls
    assert driver.generate(PROMPTS[3], SAMPLING).token_ids == generate("llama", PROMPTS[3], NUM_TOKENS)
    assert flash.num_calls == num_calls


def test_only_in_blocks_that_it_takes(
    llama: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    flash = Flash(page_tokens=256)
    stand_in(flash, monkeypatch)
    with caplog.at_level(logging.WARNING):
        Driver(llama, block_tokens=16).generate(PROMPTS[3])
    assert [record.error for record in caplog.records] == ["block_tokens 16 is no multiple of 256"]  # type: ignore[attr-defined]
    assert not flash.num_calls


@pytest.mark.parametrize("page_tokens", [256, None])
def test_blocks_are_as_it_likes_them(
    page_tokens: int | None,
    llama: Path,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where nobody has set their size; without it of 16 tokens."""
    if page_tokens:
        stand_in(Flash(page_tokens), monkeypatch)
    with caplog.at_level(logging.INFO):
        driver = Driver(llama)
    (made,) = [record for record in caplog.records if record.message == "cache made"]
    assert made.block_tokens == (page_tokens or 16)  # type: ignore[attr-defined]
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert driver.generate(PROMPTS[7], SAMPLING).token_ids == generate("llama", PROMPTS[7], NUM_TOKENS)
    driver.add_tokens(PROMPTS[7])
    driver.step()
    (sequence,) = driver.engine._scheduler.running
    assert len(sequence.block_table) == -(-sequence.num_cached_tokens // (page_tokens or 16))
    driver.run()


def test_what_it_takes() -> None:
    varlen = Varlen(torch.add)
    assert varlen.takes(LayerShape(2, 128, 128, torch.bfloat16))
    for shape in (
        LayerShape(2, 128, 128, torch.float32),
        LayerShape(2, 192, 128, torch.bfloat16),
        LayerShape(2, 36, 36, torch.bfloat16),
        LayerShape(2, 264, 264, torch.float16),
    ):
        assert not varlen.takes(shape)


def test_never_on_a_cpu() -> None:
    assert find_varlen(CPU) is None


@pytest.mark.parametrize("window", [None, 7])
def test_this_torch_takes_the_call(window: int | None) -> None:
    """Its own function, on tensors without contents: arguments and shapes are what it takes and gives."""
    from torch.nn.attention.varlen import varlen_attn

    meta = torch.device("meta")
    layer = LayerShape(2, 16, 16, torch.bfloat16)
    attention = VarlenAttention(LayerCache(layer, 6, 256, meta), Varlen(varlen_attn))
    batch = make_batch([(0, 300), (5, 1), (256, 1)], 256)
    tensors = [torch.from_numpy(array).to(meta) for array in step_arrays(batch)]
    attention.step = make_step(batch, tensors)
    query, key, value = (heads(302, num_heads, 16, torch.bfloat16).to(meta) for num_heads in (4, 2, 2))
    output = attention.attend(query, key, value, Scores(0.5, None, None), window)
    assert (output.shape, output.dtype) == ((1, 302, 4, 16), torch.bfloat16)
