"""What prompts have in common is computed once."""

from pathlib import Path

import torch

from tests.workers.llm.driver import GREEDY, Driver, change
from workers.messages import Failed, Finished, Sampling, TextWork, TokenPrompt

LONG = [20 + place % 250 for place in range(100)]
ONE = change(GREEDY, max_tokens=1)
RANDOM = Sampling(max_tokens=10, temperature=1.0, seed=5, ignore_eos=True)


def cached(driver: Driver, job_id: int) -> int:
    end = driver.transcripts[job_id].end
    assert isinstance(end, Finished)
    return end.usage.cached_tokens


def num_computed(driver: Driver) -> int:
    """Tokens that the engine's next step computes."""
    return sum(chunk.num_tokens for chunk in driver.engine._scheduler.schedule())


def test_a_second_prompt_begins_where_the_first_is_known(llama: Path) -> None:
    driver = Driver(llama)
    first, second = (driver.add_tokens(LONG, GREEDY) for _ in range(2))
    driver.run()
    assert (cached(driver, first), cached(driver, second)) == (0, 96)
    assert driver.token_ids(first) == driver.token_ids(second)
    longer = driver.add_tokens(LONG + [7] * 30, ONE)
    other = driver.add_tokens([9, *LONG], ONE)
    driver.run()
    assert (cached(driver, longer), cached(driver, other)) == (96, 0)
    assert driver.engine.stats().num_shared_tokens == 192


def test_the_answer_is_known_too(llama: Path) -> None:
    """A chat's next message begins with the last answer."""
    driver = Driver(llama, block_tokens=4)
    answer = driver.generate(LONG, GREEDY).token_ids
    job_id = driver.add_tokens(LONG + answer + [30, 31], ONE)
    driver.run()
    # The last token of the answer was never computed.
    assert cached(driver, job_id) == (len(LONG) + len(answer) - 1) // 4 * 4


def test_a_whole_prompt_is_never_found(llama: Path) -> None:
    """What follows its last token is what is asked for."""
    driver = Driver(llama, block_tokens=4)
    for _ in range(2):
        job_id = driver.add_tokens(LONG, ONE)
        driver.run()
    assert cached(driver, job_id) == 96


def test_choices_of_one_prompt_compute_it_once(llama: Path) -> None:
    driver = Driver(llama)
    job_id = driver.add(TextWork([TokenPrompt(LONG)], RANDOM, n=4))
    assert num_computed(driver) == 100
    driver = Driver(llama)
    job_id = driver.add(TextWork([TokenPrompt(LONG)], RANDOM, n=4))
    driver.run()
    assert cached(driver, job_id) == 3 * 96
    alone = [driver.generate(LONG, change(RANDOM, seed=5 + i)).token_ids for i in range(4)]
    assert [driver.token_ids(job_id, i) for i in range(4)] == alone


def test_others_are_not_held_up_by_twins(llama: Path) -> None:
    """Who waits for another's prompt lets pass who does not."""
    driver = Driver(llama, max_batched_tokens=150)
    first, *twins, short = (driver.add_tokens(prompt, GREEDY) for prompt in (LONG, LONG, LONG, [5, 6, 7]))
    driver.step()
    queues = driver.engine._scheduler
    assert [sequence.job.job_id for sequence in queues.running] == [first, short]
    assert [sequence.job.job_id for sequence in queues.waiting] == twins
    driver.step()
    assert len(queues.running) == 4
    driver.run()


def test_without_it_nothing_is_shared(llama: Path) -> None:
    driver = Driver(llama, prefix_cache=False)
    for _ in range(2):
        job_id = driver.add_tokens(LONG, ONE)
        driver.run()
    assert cached(driver, job_id) == 0


def test_what_is_no_number_is_shared_with_nobody(llama: Path) -> None:
    driver = Driver(llama, block_tokens=8)
    bad = driver.add_tokens(LONG, GREEDY)
    driver.step()
    (sequence,) = driver.engine._jobs[bad].sequences.values()
    assert driver.engine._allocator.first_missing(sequence.digests) is None
    with torch.inference_mode():
        next(driver.runner._model.parameters()).fill_(torch.nan)
    driver.run()
    assert isinstance(driver.transcripts[bad].end, Failed)
    assert driver.engine._allocator.share(sequence.digests) == []
