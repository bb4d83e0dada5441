"""Steps that are launched before the last one's tokens are read change no answer, whatever happens meanwhile.

Here the device is the host: the order of things is that of a GPU, and nothing overlaps.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.llm.conftest import Generate
from tests.workers.llm.driver import GREEDY, Driver, change, little_cache
from tests.workers.llm.schedules import ACTIONS, Action, expect_same, play
from tests.workers.llm.test_parity import PROMPTS, SAMPLING, expect_all
from workers.llm.answers.sequence import Sequence
from workers.llm.steps.ahead import Flights
from workers.messages import Event, Failed, Finished, JsonForm, Sampling, TextDelta, TextWork, TokenPrompt

PROMPT = [*range(20, 31)]
LONG = [20 + place % 250 for place in range(100)]
RANDOM = Sampling(max_tokens=30, temperature=1.0, seed=5, ignore_eos=True)
ON: dict[str, Any] = {"step_ahead": "on"}


@pytest.fixture
def driver(llama: Path) -> Driver:
    return Driver(llama, **ON)


def guard(driver: Driver) -> Driver:
    """Nobody may lose his blocks while a step under way writes to them."""
    scheduler = driver.engine._scheduler
    preempt = scheduler._preempt

    def check(sequence: Sequence) -> None:
        assert not sequence.num_flights
        preempt(sequence)

    scheduler._preempt = check  # type: ignore[method-assign]
    return driver


def is_ahead(driver: Driver) -> bool:
    return driver.engine._flights.is_under_way


def steps_ahead(driver: Driver) -> list[bool]:
    """To the end: after each step, whether the next is under way."""
    seen = []
    while driver.engine.has_work():
        driver.step()
        seen.append(is_ahead(driver))
    driver.check_idle()
    return seen


@pytest.mark.parametrize("kernels", ["auto", "off"])
@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
def test_joins_leaves_preemption_and_prefixes(
    family: str, kernels: str, model_folder: Callable[[str], Path], generate: Generate
) -> None:
    """The answers of `generate`, some of them behind what is known of others."""
    folder = model_folder(family)
    driver = Driver(folder, kernels=kernels, **little_cache(folder, 24), **ON)
    job_ids = [driver.add_tokens(prompt, SAMPLING) for prompt in PROMPTS]
    others = driver.run_among_leavers(PROMPTS[::-1], SAMPLING)
    expect_all(driver, job_ids, generate, family)
    expect_all(driver, others[::-1], generate, family)
    stats = driver.engine.stats()
    assert stats.num_preemptions > 1
    assert stats.num_shared_tokens > 50


def test_every_step_but_the_last_is_launched_ahead(driver: Driver) -> None:
    """Which is the last is known where it is the number of tokens that ends the answer."""
    driver.add_tokens(PROMPT, GREEDY)
    assert steps_ahead(driver) == [True] * 11 + [False]


def test_one_step_too_many_where_a_token_ends_the_answer(driver: Driver) -> None:
    whole = driver.generate(PROMPT, RANDOM).token_ids
    num_before = driver.engine.stats().num_steps
    job_id = driver.add_tokens(PROMPT, change(RANDOM, stop_token_ids=[whole[9]]))
    num_tokens = whole.index(whole[9]) + 1
    assert steps_ahead(driver) == [True] * num_tokens + [False]
    assert driver.engine.stats().num_steps == num_before + num_tokens + 1
    end = driver.transcripts[job_id].end
    assert isinstance(end, Finished)
    assert end.usage.completion_tokens == len(driver.token_ids(job_id)) == num_tokens


def test_who_comes_joins_the_next_step(driver: Driver) -> None:
    first = driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    second = driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    assert len(driver.token_ids(first)) == 2
    assert not driver.transcripts[second].is_started
    driver.step()
    assert len(driver.token_ids(second)) == 1
    driver.run()
    assert driver.token_ids(first) == driver.token_ids(second)


@pytest.mark.parametrize(
    "values", [{"presence_penalty": 1.0}, {"repetition_penalty": 1.3}, {"top_logprobs": 2}]
)
def test_not_where_the_host_needs_the_token_first(
    driver: Driver, llama: Path, values: dict[str, float]
) -> None:
    """Beside others too; then again as soon as who needs it is at his last."""
    plain = Driver(llama).generate(PROMPT, change(RANDOM, **values))
    job_id = driver.add_tokens(PROMPT, change(RANDOM, **values))
    longer = driver.add_tokens(PROMPT, change(RANDOM, max_tokens=35))
    assert steps_ahead(driver) == [False] * 29 + [True] * 5 + [False]
    assert driver.token_ids(job_id) == plain.token_ids
    assert len(driver.token_ids(longer)) == 35


def test_not_where_an_answer_has_a_form(driver: Driver) -> None:
    engine, events, seen = driver.engine, list[Event](), []
    sampling = change(RANDOM, ignore_eos=False, max_tokens=20)
    assert (
        engine.add(1, TextWork([TokenPrompt(PROMPT)], sampling, form=JsonForm(b'{"type": "object"}'))) is None
    )
    while engine.has_work():
        events += engine.step()
        seen.append(is_ahead(driver))
    engine.close()
    assert sum(isinstance(event, TextDelta) for event in events) > 1
    assert not any(seen)


@pytest.mark.parametrize("settings_", [{"step_ahead": "auto"}, {"speculation": "prompt_lookup"}], ids=str)
def test_not_on_a_cpu_and_not_with_drafts(llama: Path, settings_: dict[str, str]) -> None:
    driver = Driver(llama, **(ON | settings_))
    driver.add_tokens(PROMPT, GREEDY)
    assert not any(steps_ahead(driver))


def test_where_blocks_are_short_nobody_is_turned_out_unread(llama: Path) -> None:
    """Who has to give way does so between two steps, as without; then it is ahead again."""
    little = little_cache(llama, 14) | {"prefix_cache": False}
    drivers = [Driver(llama, **little, **more) for more in ({}, ON)]
    for each in drivers:
        for seed in range(3):
            each.add_tokens(PROMPT, change(RANDOM, seed=seed))
    seen = steps_ahead(guard(drivers[1]))
    drivers[0].run()
    assert drivers[1].engine.stats().num_preemptions
    assert False in seen[:-1]
    assert sum(seen) > len(seen) / 2
    for job_id in drivers[0].transcripts:
        assert drivers[1].token_ids(job_id) == drivers[0].token_ids(job_id)


def test_a_cancelled_jobs_memory_is_free_when_its_step_has_landed(driver: Driver) -> None:
    job_id = driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    driver.engine.cancel(job_id)
    assert driver.engine.stats().cache_usage > 0
    assert [type(event) for event in driver.step()] == [Finished]
    assert len(driver.token_ids(job_id)) == 1
    driver.check_idle()


def test_a_paused_job_gets_what_was_under_way_and_then_nothing(driver: Driver) -> None:
    expected = driver.generate(PROMPT, RANDOM).token_ids
    job_id = driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    driver.engine.pause(job_id)
    assert driver.engine.has_work()
    driver.run()
    assert driver.token_ids(job_id) == expected[:2]
    driver.engine.resume(job_id)
    driver.run()
    assert driver.token_ids(job_id) == expected
    assert driver.engine.stats().num_preemptions == 0


def test_a_paused_job_keeps_its_memory_until_its_step_has_landed(llama: Path) -> None:
    expected = Driver(llama).generate(PROMPT, RANDOM).token_ids
    driver = guard(Driver(llama, **little_cache(llama, 16), prefix_cache=False, **ON))
    assert driver.generate_paused(PROMPT, RANDOM, 1).token_ids == expected


def test_what_is_no_number_hurts_nobody_later(llama: Path) -> None:
    """It fails its own job one step later, and its blocks are clean before anybody gets them."""
    prompts = [PROMPT, PROMPT[:5], PROMPT[:3], PROMPT * 2]
    expected = [Driver(llama).generate(prompt, RANDOM).token_ids for prompt in prompts]
    driver = Driver(llama, block_tokens=8, prefix_cache=False, **ON)
    bad, good = driver.add_tokens(PROMPT * 3, RANDOM, n=2), driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    driver.spoil(bad)
    driver.run()
    assert isinstance(driver.transcripts[bad].end, Failed)
    assert driver.token_ids(good) == expected[0]
    again = [driver.add_tokens(prompt, RANDOM) for prompt in prompts]
    driver.run()
    assert [driver.token_ids(job_id) for job_id in again] == expected


def test_nor_does_it_where_the_job_had_left(llama: Path) -> None:
    """What the row that is dropped left in the cache is erased too."""
    driver = Driver(llama, block_tokens=8, prefix_cache=False, **ON)
    job_id = driver.add_tokens(PROMPT, RANDOM)
    driver.step()
    driver.spoil(job_id)
    driver.step()
    assert is_ahead(driver)
    driver.engine.cancel(job_id)
    driver.step()
    driver.check_idle()
    for attention in driver.runner._attentions:
        assert attention.cache.keys.isfinite().all()
        assert attention.cache.values.isfinite().all()


@pytest.mark.parametrize("num_prompt_tokens", [97, 98, 99, 100])
def test_blocks_are_known_by_tokens_that_are_read(llama: Path, num_prompt_tokens: int) -> None:
    """A chat's next message begins with the last answer; the token that ended it was computed for nobody."""
    prompt = LONG[:num_prompt_tokens]
    answer = Driver(llama).generate(prompt, RANDOM).token_ids
    driver = Driver(llama, block_tokens=4, **ON)
    driver.generate(prompt, change(RANDOM, stop_token_ids=[answer[9]]))
    num_tokens = num_prompt_tokens + answer.index(answer[9]) + 1
    job_id = driver.add_tokens(prompt + answer + [30, 31], change(GREEDY, max_tokens=1))
    driver.run()
    end = driver.transcripts[job_id].end
    assert isinstance(end, Finished)
    assert end.usage.cached_tokens == (num_tokens - 1) // 4 * 4


def test_a_step_takes_the_time_of_its_device(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that until it is read: two are under way at once."""
    noted: list[float] = []
    monkeypatch.setattr(driver.engine._scheduler, "note_time", lambda _, step_s: noted.append(step_s))
    monkeypatch.setattr(
        "workers.llm.steps.flight.Flight.step_s", property(lambda flight: len(flight.batch.chunks))
    )
    driver.add_tokens(PROMPT, GREEDY)
    driver.add_tokens(PROMPT, change(GREEDY, max_tokens=6))
    driver.run()
    assert noted == [2] * 6 + [1] * 6


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS, settings_=st.sampled_from([{}, {"max_batched_tokens": 5}, {"max_num_seqs": 2}]))
def test_any_schedule_gives_what_it_gives_without(
    drivers: dict[str, tuple[Driver, Driver]],
    llama: Path,
    actions: list[Action],
    settings_: dict[str, int],
) -> None:
    """Adds, steps, cancels, pauses and resumes in any order, with little memory; every reason of ending."""
    if str(settings_) not in drivers:
        little = little_cache(llama, 20) | settings_
        drivers[str(settings_)] = guard(Driver(llama, **little, **ON)), Driver(llama, **little)
    driver, plain = drivers[str(settings_)]
    expect_same(driver, plain, play(driver, actions, any_work))


def any_work(choice: int, size: int) -> TextWork:
    prompt = TokenPrompt(PROMPT[: size % 9 + 1] * (1 + choice % 2))
    return TextWork([prompt], wish(choice, size), n=choice % 3 + 1)


def wish(choice: int, size: int) -> Sampling:
    """Greedy and drawn, with ends of every kind, some that the host has to follow token by token."""
    base = change(RANDOM if choice % 3 else GREEDY, max_tokens=size, seed=size)
    kinds: list[dict[str, Any]] = [
        {},
        {"stop": ["a"]},
        {"stop_token_ids": [*range(30)]},
        {"presence_penalty": 1.0},
        {"min_tokens": size // 2, "stop_token_ids": [*range(60)]},
        {"top_logprobs": 1},
    ]
    return change(base, **kinds[(choice + size) % len(kinds)])


@pytest.fixture(scope="module")
def drivers() -> dict[str, tuple[Driver, Driver]]:
    return {}


def test_only_what_is_launched_is_under_way(driver: Driver) -> None:
    flights = driver.engine._flights
    assert isinstance(flights, Flights)
    assert flights.next() is None
    assert not flights.is_under_way
