"""Drafts change how many steps an answer takes, and nothing else."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.models import FAMILIES, make_model
from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import GREEDY, Driver, change, little_cache
from tests.workers.llm.schedules import ACTIONS, Action, expect_same, play
from workers.llm.scheduling.lookup import FIRST_HIT_RATE, Chance, Drafter, Index
from workers.llm.scheduling.speculation import Speculation
from workers.messages import Failed, Finished, JsonForm, Sampling, TextDelta, TextWork, TokenBias, TokenPrompt

# A random model, too, goes on with what it is shown often enough, at least in places.
REPETITIVE = [random.Random(3).randrange(2, 300) for _ in range(6)] * 7
PROMPTS = [REPETITIVE, REPETITIVE[2:], [9, 10, 11], REPETITIVE[:9], [7] * 30, [*range(20, 60)] * 2]
LONG = change(GREEDY, max_tokens=60)
RANDOM = Sampling(max_tokens=40, temperature=1.0, seed=5, ignore_eos=True)
ON = {"speculation": "prompt_lookup"}


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts whatever they cost: a clock must not decide what is tested."""
    monkeypatch.setattr(Speculation, "_max_drafts", lambda self, num, _ratio: num * self.max_tokens)
    monkeypatch.setattr("workers.llm.scheduling.speculation.Costs.ratio", lambda *_: None)


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without attention a token follows from the one before it: soon every greedy answer goes in a circle."""
    folder = make_model(tmp_path_factory.mktemp("looping"), "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kernels", ["auto", "off"])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_are_generates(
    family: str, kernels: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    driver = Driver(model_folder(family), block_tokens=4, kernels=kernels, **ON)
    job_ids = [driver.add_tokens(prompt, LONG) for prompt in PROMPTS]
    driver.run()
    for job_id, prompt in zip(job_ids, PROMPTS, strict=True):
        assert driver.token_ids(job_id) == generate(family, prompt, 60)
    assert driver.engine.stats().num_drafted_tokens > 20


def test_what_repeats_itself_takes_fewer_steps(looping: Path) -> None:
    plain, driver = Driver(looping), Driver(looping, **ON)
    sampling = change(GREEDY, max_tokens=200)
    expected, found = plain.generate([7, 8], sampling), driver.generate([7, 8], sampling)
    assert (found.token_ids, found.text) == (expected.token_ids, expected.text)
    assert plain.engine.stats().num_steps == 200
    stats = driver.engine.stats()
    assert 100 < stats.num_accepted_tokens <= stats.num_drafted_tokens
    assert stats.num_steps == 200 - stats.num_accepted_tokens
    end = driver.transcripts[1].end
    assert isinstance(end, Finished)
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (2, 200)


@pytest.mark.parametrize(
    "sampling",
    [
        RANDOM,
        change(RANDOM, temperature=0.3, top_p=0.9, top_k=5),
        change(LONG, top_logprobs=2),
        change(LONG, min_tokens=20, ignore_eos=False, logit_bias=[TokenBias(0, 2.0)]),
        change(LONG, frequency_penalty=0.1),
        change(LONG, repetition_penalty=1.05),
        change(LONG, logit_bias=[TokenBias(7, 1.0)]),
    ],
)
def test_every_kind_of_sampling(llama: Path, sampling: Sampling) -> None:
    """The events' logprobs too: all that is told of a token belongs to its own place."""
    told = []
    for extra in ({}, ON):
        driver = Driver(llama, **extra)
        deltas = []
        for prompt in PROMPTS:
            driver.add_tokens(prompt, sampling, n=2)
        while driver.engine.has_work():
            deltas += [event for event in driver.step() if isinstance(event, TextDelta)]
        logprobs = {
            key: [p for d in deltas if (d.job_id, d.index) == key for p in d.logprobs]
            for key in sorted({(d.job_id, d.index) for d in deltas})
        }
        answers = [(a.token_ids, a.text, a.reason) for a in all_answers(driver)]
        told.append((answers, usages(driver), logprobs))
    assert told[0] == told[1]


def test_forms_and_penalties_are_not_drafted_for(llama: Path) -> None:
    """What may come next depends on the answer so far: on more than the model can be asked at once."""
    driver = Driver(llama, **ON)
    driver.add_tokens([7] * 30, change(LONG, presence_penalty=0.5))
    driver.add(TextWork([TokenPrompt([7] * 30)], LONG, form=JsonForm(b'{"type": "array"}')))
    driver.run()
    assert driver.engine.stats().num_drafted_tokens == 0


def test_stops_within_what_was_accepted(looping: Path) -> None:
    plain, driver = Driver(looping), Driver(looping, **ON)
    prompt = [7, 8, *plain.generate([7, 8], change(GREEDY, max_tokens=200)).token_ids]
    whole = plain.generate(prompt, LONG)
    for place in range(1, 55, 7):
        for extra in (
            {"stop_token_ids": [whole.token_ids[place]]},
            {"stop": [whole.text[place : place + 3]]},
        ):
            sampling = change(LONG, **extra)
            ends = [(d.generate(prompt, sampling), usages(d)[-1]) for d in (plain, driver)]
            (expected, usage), (found, same_usage) = ends
            assert vars(found) == vars(expected)
            assert (usage.prompt_tokens, usage.completion_tokens) == (
                same_usage.prompt_tokens,
                same_usage.completion_tokens,
            )
    assert driver.engine.stats().num_accepted_tokens > 25


@pytest.mark.parametrize("max_tokens", range(1, 12))
def test_no_more_tokens_than_asked_for(llama: Path, max_tokens: int) -> None:
    """Nor places past the end of the model's context."""
    driver = Driver(llama, max_model_len=30 + max_tokens, **ON)
    asked = change(GREEDY, max_tokens=100)
    answer = driver.generate([7] * 30, asked)
    plain = Driver(llama, max_model_len=30 + max_tokens).generate([7] * 30, asked)
    assert (len(answer.token_ids), answer.reason) == (max_tokens, "length")
    assert answer.token_ids == plain.token_ids


def test_nobody_gives_way_to_a_guess(llama: Path) -> None:
    """Where no block is free there is no draft; the blocks of wrong ones are given back at once."""
    settings = little_cache(llama, 24) | {"prefix_cache": False}
    plain, driver = Driver(llama, **settings), Driver(llama, **settings, **ON)
    for one in (plain, driver):
        for prompt in ([7] * 30, [8] * 30):
            one.add_tokens(prompt, change(GREEDY, max_tokens=14))
    plain.run()
    while driver.engine.has_work():
        driver.step()
        for sequence in driver.engine._scheduler.running:
            num_needed = -(-len(sequence.token_ids) // 4)
            assert num_needed - 1 <= len(sequence.block_table) <= num_needed
    assert driver.engine.stats().num_preemptions == plain.engine.stats().num_preemptions == 0
    assert [a.token_ids for a in all_answers(driver)] == [a.token_ids for a in all_answers(plain)]


def test_only_what_is_right_is_shared(llama: Path) -> None:
    """An answer with drafts, then prompts that begin with it, from its blocks and without them."""
    driver = Driver(llama, block_tokens=4, **ON)
    answers = [driver.generate(prompt, LONG).token_ids for prompt in PROMPTS]
    assert driver.engine.stats().num_drafted_tokens > driver.engine.stats().num_accepted_tokens
    fresh = Driver(llama, block_tokens=4, prefix_cache=False)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        for num_tokens in (len(answer) - 1, len(answer) // 2):
            longer = [*prompt, *answer[:num_tokens], 30, 31]
            assert driver.generate(longer).token_ids == fresh.generate(longer).token_ids
        end = driver.transcripts[max(driver.transcripts)].end
        assert isinstance(end, Finished)
        assert end.usage.cached_tokens >= (len(prompt) + len(answer) // 2) // 4 * 4


def test_a_wrong_draft_that_is_no_number_hurts_nobody(llama: Path) -> None:
    expected = Driver(llama).generate(REPETITIVE, LONG).token_ids
    driver = Driver(llama, **ON)
    run, num_spoilt = driver.runner.run, 0

    def spoil(batch, carry):  # type: ignore[no-untyped-def]
        nonlocal num_spoilt
        logits, row = run(batch, carry), 0
        for chunk in batch.sampled_chunks:
            rows = logits[row : row + 1 + len(chunk.drafts)]
            row += len(rows)
            right = rows.argmax(-1).tolist()[:-1]
            if chunk.drafts and right[0] != chunk.drafts[0]:
                rows[1:] = float("nan")
                num_spoilt += 1
        return logits

    driver.runner.run = spoil  # type: ignore[method-assign]
    assert driver.generate(REPETITIVE, LONG).token_ids == expected
    assert num_spoilt == driver.engine.stats().num_preemptions > 0


def test_no_number_among_right_drafts_ends_the_job(looping: Path) -> None:
    driver = Driver(looping, **ON)
    run = driver.runner.run

    def spoil(batch, carry):  # type: ignore[no-untyped-def]
        logits = run(batch, carry)
        if len(logits) > 1 and tuple(logits.argmax(-1).tolist()[:-1]) == batch.sampled_chunks[0].drafts:
            logits[-1] = float("nan")
        return logits

    driver.runner.run = spoil  # type: ignore[method-assign]
    job_id = driver.add_tokens([7, 8], LONG)
    driver.run()
    end = driver.transcripts[job_id].end
    assert isinstance(end, Failed)
    assert 0 < end.usage.completion_tokens < 60


@pytest.mark.parametrize("is_looping", [False, True])
@settings(max_examples=25, deadline=None)
@given(
    actions=ACTIONS,
    settings_=st.sampled_from([{}, {"max_batched_tokens": 5}, {"max_num_seqs": 2}, {"num_draft_tokens": 30}]),
)
def test_any_schedule_gives_what_it_gives_without(
    drivers: dict[str, tuple[Driver, Driver]],
    llama: Path,
    looping: Path,
    is_looping: bool,
    actions: list[Action],
    settings_: dict[str, int],
) -> None:
    """Adds, steps, cancels, pauses and resumes in any order, with little memory."""
    key, folder = f"{is_looping} {settings_}", looping if is_looping else llama
    if key not in drivers:
        little = little_cache(folder, 40) | settings_
        drivers[key] = Driver(folder, **little, **ON), Driver(folder, **little)
    driver, plain = drivers[key]
    expect_same(driver, plain, play(driver, actions, any_work))


def any_work(choice: int, size: int) -> TextWork:
    base = GREEDY if choice % 3 else RANDOM
    sampling = change(base, max_tokens=size, seed=size, stop=["a"] if size % 3 == 0 else [])
    prompt = [20 + choice % 4] * (size % 19) + REPETITIVE[: size % 9 + 1]
    return TextWork([TokenPrompt(prompt)], sampling, n=choice % 3 + 1)


@pytest.fixture(scope="module")
def drivers() -> dict[str, tuple[Driver, Driver]]:
    return {}


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 7))
def test_the_index_finds_what_a_scan_finds(token_ids: list[int], num_at_once: int) -> None:
    grown: list[int] = []
    index = Index(grown)
    for start in range(0, len(token_ids), num_at_once):
        grown += token_ids[start : start + num_at_once]
        assert index.find() == scan(grown)


def scan(token_ids: list[int]) -> int | None:
    for size in (3, 2):
        newest = token_ids[-size:]
        for place in range(len(token_ids) - 1, size - 1, -1):
            if len(newest) == size and token_ids[place - size : place] == newest:
                return place
    return None


def test_a_long_prompt_is_taken_in_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.llm.scheduling.lookup.MAX_INDEXED_TOKENS", 100)
    index = Index([*range(250), 0, 1, 2])
    assert [index.find() for _ in range(4)] == [None, None, 3, 3]


def test_a_draft_goes_round_at_the_texts_end() -> None:
    drafter = Drafter([1, 2, 3, 1, 2, 3, 1, 2], Chance())
    drafter.note(8, 8)
    assert drafter.draft(7) == [3, 1, 2, 3, 1, 2, 3]


def test_who_guesses_wrong_rests_longer_each_time() -> None:
    drafter = Drafter([5] * 9, Chance())
    rests = []
    for _ in range(7):
        assert drafter.draft(8) == [5, 5]
        drafter.note(2, 0)
        rests.append(0)
        while drafter.is_resting():
            rests[-1] += 1
    assert rests == [4, 8, 16, 32, 64, 128, 128]
    drafter.note(2, 2)
    assert len(drafter.draft(8)) == 4
    drafter.note(4, 1)
    assert len(drafter.draft(8)) == 2


def test_what_is_expected_of_first_drafts_is_what_others_saw() -> None:
    chance = Chance()
    one, other = Drafter([5] * 9, chance), Drafter([5] * 9, chance)
    one.note(2, 0)
    assert one.hit_rate == other.hit_rate < FIRST_HIT_RATE
    expected = one.hit_rate
    other.note(2, 2)
    # Its first draft tells something of the others' first ones, its next of itself alone.
    assert other.hit_rate > one.hit_rate > expected
    expected = one.hit_rate
    other.note(2, 2)
    assert one.hit_rate == expected


def all_answers(driver: Driver):  # type: ignore[no-untyped-def]
    return [answer for t in driver.transcripts.values() for _, answer in sorted(t.answers.items())]


def usages(driver: Driver):  # type: ignore[no-untyped-def]
    return [t.end.usage for t in driver.transcripts.values() if isinstance(t.end, Finished)]
