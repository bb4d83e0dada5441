"""Who comes first: shares of owners in tokens, priorities among one owner's jobs."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.llm.driver import GREEDY, Driver, change, little_cache
from workers.llm.answers.sequence import Answer, Job, Sequence
from workers.llm.scheduling.shares import Shares
from workers.messages import Finished, Started

PROMPT = [*range(20, 31)]
SHORT = change(GREEDY, max_tokens=4)


@pytest.fixture
def one(llama: Path) -> Driver:
    """One sequence at a time."""
    return Driver(llama, max_num_seqs=1, prefix_cache=False)


def started(driver: Driver) -> list[int]:
    """The jobs in the order in which they start, to the end of all."""
    order = []
    while driver.engine.has_work():
        order += [event.job_id for event in driver.step() if isinstance(event, Started)]
    driver.check_idle()
    return order


def test_the_lowest_priority_first_then_the_oldest(one: Driver) -> None:
    jobs = {p: [one.add_tokens(PROMPT, SHORT, priority=p) for _ in range(2)] for p in (5, 0, -3)}
    assert started(one) == [*jobs[-3], *jobs[0], *jobs[5]]


def test_what_runs_goes_on(one: Driver) -> None:
    running = one.add_tokens(PROMPT, SHORT)
    one.step()
    late = one.add_tokens(PROMPT, SHORT, priority=-9)
    ends = []
    while one.engine.has_work():
        ends += [event.job_id for event in one.step() if isinstance(event, Finished)]
    assert ends == [running, late]


def test_memory_is_taken_from_the_last_in_rank(llama: Path) -> None:
    driver = Driver(llama, **little_cache(llama, 12))
    sampling = change(GREEDY, max_tokens=24)
    expected = driver.generate(PROMPT, sampling).token_ids
    behind, first = (driver.add_tokens(PROMPT, sampling, priority=p) for p in (1, 0))
    ends = []
    while driver.engine.has_work():
        ends += [event.job_id for event in driver.step() if isinstance(event, Finished)]
    assert driver.engine.stats().num_preemptions
    assert ends == [first, behind]
    assert driver.token_ids(behind) == driver.token_ids(first) == expected


def test_who_was_served_least_is_next(one: Driver) -> None:
    """However many jobs another has put in the queue before, and whatever he says of them."""
    greedy = [one.add_tokens(PROMPT, SHORT, owner="greedy", priority=-9) for _ in range(8)]
    one.step()
    modest = [one.add_tokens(PROMPT, SHORT, owner="modest", priority=9) for _ in range(2)]
    order = [greedy[0], *started(one)]
    assert order == [greedy[0], modest[0], greedy[1], modest[1], *greedy[2:]]


def test_shares_are_of_tokens_not_of_jobs(one: Driver) -> None:
    """One with prompts of 121 and one of 11 tokens, 4 of each answer: 129 a job against 19."""
    for _ in range(30):
        one.add_tokens(PROMPT * 11, SHORT, owner="long")
    for _ in range(30):
        one.add_tokens(PROMPT, SHORT, owner="short")
    order = started(one)
    num_long = sum(job_id <= 30 for job_id in order[:30])
    assert 3 <= num_long <= 6


def test_idle_time_cannot_be_saved_up(one: Driver) -> None:
    for _ in range(20):
        one.add_tokens(PROMPT, SHORT, owner="steady")
    for _ in range(40):
        one.step()
    begun = [one.add_tokens(PROMPT, SHORT, owner="late") for _ in range(5)]
    late = [job_id in begun for job_id in started(one)]
    assert [sum(late[:num]) for num in (2, 4, 10)] == [1, 2, 5]
    assert len(late) > 10


def sequence_of(owner: str, num_prompt: int = 5) -> Sequence:
    job = Job(1, GREEDY)
    job.owner = owner
    return Sequence(job, 0, [7] * num_prompt, Answer.__new__(Answer))


def test_what_is_computed_again_is_not_charged_again() -> None:
    shares, sequence = Shares(), sequence_of("a")
    shares.enter("a")
    shares.charge(sequence, 3)
    sequence.num_cached_tokens = 3
    shares.charge(sequence, 2)
    assert shares._served == {"a": 5}
    sequence.num_cached_tokens = 0
    sequence.token_ids.append(8)
    shares.charge(sequence, 6)
    assert shares._served == {"a": 5 + 2}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 50)), max_size=60))
def test_counters_are_bounded_and_gone_with_the_last(moves: list[tuple[str, bool, int]]) -> None:
    shares, there = Shares(), dict[str, list[Sequence]]()
    for owner, enters, num_tokens in moves:
        if enters or not there.get(owner):
            there.setdefault(owner, []).append(sequence_of(owner, 50))
            shares.enter(owner)
        else:
            shares.charge(there[owner].pop(), num_tokens)
            shares.leave(owner)
        present = [sequence for sequences in there.values() for sequence in sequences]
        if present:
            assert shares.first(present) in present
    for owner, sequences in there.items():
        for _ in sequences:
            shares.leave(owner)
    assert not shares._served and not shares._num_sequences
