"""A seed gives one text: alone, in company, after preemption, and continued from any place."""

from pathlib import Path

import pytest

from tests.workers.llm.driver import Driver, change, little_cache
from workers.messages import Sampling, TextPrompt, TextWork, TokenPrompt

PROMPT = [*range(20, 31)]
SAMPLING = Sampling(max_tokens=24, temperature=0.9, top_p=0.95, seed=1234, ignore_eos=True)


@pytest.fixture(scope="module")
def alone(llama: Path) -> list[int]:
    return Driver(llama).generate(PROMPT, SAMPLING).token_ids


def test_seeds_differ(llama: Path, alone: list[int]) -> None:
    driver = Driver(llama)
    assert driver.generate(PROMPT, SAMPLING).token_ids == alone
    assert driver.generate(PROMPT, change(SAMPLING, seed=1235)).token_ids != alone


def test_among_others(llama: Path, alone: list[int]) -> None:
    driver = Driver(llama, max_batched_tokens=20)
    for seed in range(6):
        driver.add_tokens(PROMPT[: seed + 1] * 3, change(SAMPLING, seed=seed, top_k=seed))
    driver.step()
    job_id = driver.add_tokens(PROMPT, SAMPLING)
    for seed in range(6):
        driver.add_tokens(PROMPT[seed:], change(SAMPLING, seed=seed, temperature=0.3 * seed))
        driver.step()
    driver.run()
    assert driver.token_ids(job_id) == alone


def test_after_preemption(llama: Path, alone: list[int]) -> None:
    driver = Driver(llama, **little_cache(llama, 14), prefix_cache=False)
    job_ids = [driver.add_tokens(PROMPT, SAMPLING) for _ in range(3)]
    driver.run()
    assert driver.engine.stats().num_preemptions
    assert [driver.token_ids(job_id) for job_id in job_ids] == [alone] * 3


def test_choices_use_the_next_seeds(llama: Path, alone: list[int]) -> None:
    driver = Driver(llama)
    work = TextWork([TokenPrompt(PROMPT), TokenPrompt(PROMPT[:4])], SAMPLING, n=2)
    job_id = driver.add(work)
    driver.run()
    second = change(SAMPLING, seed=SAMPLING.seed + 1)
    expected = [
        driver.generate(prompt, sampling).token_ids
        for prompt in (PROMPT, PROMPT[:4])
        for sampling in (SAMPLING, second)
    ]
    assert [driver.token_ids(job_id, index) for index in range(4)] == expected
    assert expected[0] == alone
    end = driver.transcripts[job_id].end
    assert end is not None
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (15, 96)


@pytest.mark.parametrize("stop", [[], ["e"], ["zzz", "the river"]])
def test_continued_at_every_place(llama: Path, stop: list[str]) -> None:
    """What a lost worker sent and what the next one sends make the answer that one alone gives."""
    sampling = change(SAMPLING, stop=stop, ignore_eos=False)
    driver = Driver(llama)
    work = TextWork([TextPrompt("Once upon a time")], sampling)
    job_id = driver.add(work)
    sent: list[tuple[str, list[int]]] = [("", [])]
    while driver.engine.has_work():
        driver.step()
        answer = driver.transcripts[job_id].answers.get(0)
        if answer and answer.reason is None:
            sent.append((answer.text, list(answer.token_ids)))
    whole = driver.answer(job_id)
    assert len(sent) > 3 or stop == ["e"]
    for text, token_ids in sent:
        job_id = driver.add(TextWork(work.prompts, sampling, generated=[token_ids]))
        driver.run()
        rest = driver.answer(job_id)
        assert (text + rest.text, token_ids + rest.token_ids) == (whole.text, whole.token_ids)
        assert rest.reason == whole.reason
        end = driver.transcripts[job_id].end
        assert end is not None
        assert end.usage.completion_tokens == len(whole.token_ids)


def test_done_choices_stay_silent(llama: Path, alone: list[int]) -> None:
    driver = Driver(llama)
    generated = [alone[:5], alone, alone[:7]]
    job_id = driver.add_tokens(PROMPT, SAMPLING, n=3, generated=generated, done=[1])
    driver.run()
    assert 1 not in driver.transcripts[job_id].answers
    assert alone[:5] + driver.token_ids(job_id, 0) == alone
    end = driver.transcripts[job_id].end
    assert end is not None
    assert end.usage.completion_tokens == 3 * 24


def test_nothing_left_to_do(llama: Path, alone: list[int]) -> None:
    """All choices done, or one that the lost worker had brought to its last token."""
    driver = Driver(llama)
    done = driver.add_tokens(PROMPT, SAMPLING, generated=[alone], done=[0])
    complete = driver.add_tokens(PROMPT, SAMPLING, generated=[alone])
    driver.run()
    assert driver.transcripts[done].answers == {}
    assert driver.answer(complete).token_ids == []
    assert driver.answer(complete).reason == "length"
