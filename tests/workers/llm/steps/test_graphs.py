"""Decode steps that are padded, filled into fixed buffers and replayed give what computing them gives.

Where CUDA records them is tests/gpu; here a recording is the same function, called again.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models import make_adapter
from tests.workers.llm.attention.test_varlen import stand_in
from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import Driver, little_cache
from tests.workers.llm.flash import Flash
from tests.workers.llm.test_parity import NUM_TOKENS, PROMPTS, SAMPLING, expect_all
from workers.llm.loading import prepare
from workers.llm.scheduling.chunks import Chunk
from workers.llm.steps.batch import Batch
from workers.llm.steps.graphs import MAX_ROWS, Recorder, Room, padded_rows, row_sizes

ON: dict[str, Any] = {"block_tokens": 4, "cuda_graphs": True}


class Tape:
    """Records as CUDA would: the outputs have one place for ever, and Python runs only the first time."""

    def __init__(self, is_false: bool = False) -> None:
        self.sizes: list[int] = []
        self.replayed: list[int] = []
        self._is_false = is_false

    def recorder(self, _: torch.device) -> Recorder:
        return self._record

    def _record(self, compute: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        logits = compute()
        self.sizes.append(len(logits))

        def replay() -> None:
            self.replayed.append(len(logits))
            if not self._is_false:
                logits.copy_(compute())

        return logits, replay


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Tape:
    stand_in(Flash(page_tokens=4), monkeypatch)
    return play(Tape(), monkeypatch)


def play(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> Tape:
    monkeypatch.setattr(prepare, "cuda_recorder", tape.recorder)
    return tape


@pytest.mark.parametrize("step_ahead", ["off", "on"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gemma3_text", "gpt2"])
def test_joins_leaves_and_preemption(
    family: str, step_ahead: str, tape: Tape, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    folder = model_folder(family)
    little = little_cache(folder, 24) | {"max_batched_tokens": 40, "max_num_seqs": 6}
    driver = Driver(folder, step_ahead=step_ahead, **(ON | little))
    assert tape.sizes == [6, 4, 2, 1]
    tape.replayed.clear()
    job_ids = driver.run_among_leavers(PROMPTS, SAMPLING)
    assert driver.engine.stats().num_preemptions
    expect_all(driver, job_ids, generate, family)
    assert {1, 2, 4} <= set(tape.replayed)


def test_batches_that_are_no_decodes_are_computed(tape: Tape, llama: Path) -> None:
    driver = Driver(llama, **ON)
    tape.replayed.clear()
    driver.generate(PROMPTS[3], SAMPLING)
    assert tape.replayed == [1] * (NUM_TOKENS - 1)


def test_batches_with_more_rows_are_computed(
    tape: Tape, llama: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.llm.steps.graphs.MAX_ROWS", 4)
    driver = Driver(llama, **ON)
    assert tape.sizes == [4, 2, 1]
    job_ids = [driver.add_tokens(prompt, SAMPLING) for prompt in PROMPTS]
    driver.run()
    expect_all(driver, job_ids, generate, "llama")


def test_batches_with_adapters_are_computed(tape: Tape, llama: Path, tmp_path: Path) -> None:
    """What was recorded knows of none; beside them the model's own rows are computed too."""
    folder = str(make_adapter(tmp_path, llama))
    alone = {name: Driver(llama, kernels="off", adapters={"mine": folder}) for name in ("", "mine")}
    driver = Driver(llama, adapters={"mine": folder}, **ON)
    tape.replayed.clear()
    job_ids = {name: driver.add_tokens(PROMPTS[3], SAMPLING, adapter=name) for name in alone}
    driver.run()
    assert not tape.replayed
    for name, other in alone.items():
        assert driver.token_ids(job_ids[name]) == other.generate(PROMPTS[3], SAMPLING, adapter=name).token_ids
    driver.generate(PROMPTS[3], SAMPLING)
    assert tape.replayed == [1] * (NUM_TOKENS - 1)


def test_padding_writes_to_nobodys_block(tape: Tape, llama: Path) -> None:
    """Three rows are padded to four; what a sequence will be given was never touched."""
    driver = Driver(llama, cache_bytes=1 << 16, **ON)
    num_blocks = driver.engine._allocator.num_blocks
    pools = [attention.cache for attention in driver.runner._attentions]
    assert {len(pool.keys) for pool in pools} == {num_blocks + 1}
    with torch.inference_mode():
        driver.runner.erase(list(range(num_blocks + 1)))
    for prompt in PROMPTS[:2] + PROMPTS[3:4]:
        driver.add_tokens(prompt, SAMPLING)
    tape.replayed.clear()
    while 4 not in tape.replayed:
        driver.step()
    taken = {block for s in driver.engine._scheduler.running for block in s.block_table}
    written = {int(block) for block in pools[0].keys.flatten(1).any(1).nonzero()}
    assert written <= taken | {num_blocks}
    assert num_blocks in written
    driver.run()


@pytest.mark.parametrize("max_num_seqs", [1, 32])
@pytest.mark.parametrize("fault", ["false", "raises"])
def test_without_where_it_does_not_work(
    fault: str,
    max_num_seqs: int,
    llama: Path,
    generate: Generate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flash = Flash(page_tokens=4)
    stand_in(flash, monkeypatch)
    tape = play(Tape(is_false=True), monkeypatch)
    if fault == "raises":

        def recorder(_: torch.device) -> Recorder:
            raise RuntimeError("operation not permitted when stream is capturing")

        monkeypatch.setattr(prepare, "cuda_recorder", recorder)
    with caplog.at_level(logging.WARNING):
        driver = Driver(llama, max_num_seqs=max_num_seqs, **ON)
    assert [record.message for record in caplog.records] == ["no cuda graphs"]
    tape.replayed.clear()
    flash.num_calls = 0
    assert driver.generate(PROMPTS[3], SAMPLING).token_ids == generate("llama", PROMPTS[3], NUM_TOKENS)
    assert flash.num_calls
    assert not tape.replayed


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss"])
def test_not_where_a_layer_attends_otherwise(
    family: str, tape: Tape, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    driver = Driver(model_folder(family), **ON)
    assert driver.generate(PROMPTS[3], SAMPLING).token_ids == generate(family, PROMPTS[3], NUM_TOKENS)
    assert not tape.replayed


def test_never_on_a_cpu(llama: Path, generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = play(Tape(), monkeypatch)
    for kernels in ("auto", "off"):
        driver = Driver(llama, kernels=kernels, **ON)
        assert driver.generate(PROMPTS[3], SAMPLING).token_ids == generate("llama", PROMPTS[3], NUM_TOKENS)
    assert not tape.sizes


@pytest.mark.parametrize(
    ("max_num_seqs", "sizes"),
    [
        (1, [1]),
        (2, [1, 2]),
        (6, [1, 2, 4, 6]),
        (8, [1, 2, 4, 8]),
        (4096, [1, 2, 4, 8, 16, 32, 64, 128, MAX_ROWS]),
    ],
)
def test_sizes(max_num_seqs: int, sizes: list[int]) -> None:
    assert row_sizes(max_num_seqs) == sizes


def test_padded_rows() -> None:
    """Two decodes, the shorter one first, of which one is still in its prompt; three rows of padding."""
    done: Any = SimpleNamespace(num_cached_tokens=5, token_ids=[10, 11, 12, 13, 14, 15], block_table=[7, 2])
    before: Any = SimpleNamespace(num_cached_tokens=0, token_ids=[20, 21, 22], block_table=[4])
    done.job = before.job = SimpleNamespace(adapter=0)
    done.is_reading = before.is_reading = False
    batch = Batch([Chunk(done, 1), Chunk(before, 1)], 4)
    room = Room(table_width=3, block_tokens=4, scratch=9, device=torch.device("cpu"))
    names = ("sampled", "input_ids", "positions", "slots", "query_ends", "key_ends", "num_keys", "tables")
    rows = dict(zip(names, padded_rows(batch, 5, room), strict=True))
    assert {name: array.tolist() for name, array in rows.items()} == {
        "sampled": [1, 0, 0, 0, 0],
        "input_ids": [20, 15, 0, 0, 0],
        "positions": [0, 5, 0, 0, 0],
        "slots": [16, 9, 36, 36, 36],
        "query_ends": [0, 1, 2, 3, 4, 5],
        "key_ends": [0, 1, 7, 8, 9, 10],
        "num_keys": [1, 6, 1, 1, 1],
        "tables": [[4, 4, 9], [7, 2, 9], [9, 9, 9], [9, 9, 9], [9, 9, 9]],
    }
    assert {rows[name].dtype for name in names[:4]} == {np.dtype(np.int64)}
    assert {rows[name].dtype for name in names[4:]} == {np.dtype(np.int32)}
