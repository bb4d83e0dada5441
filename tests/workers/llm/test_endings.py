"""What may end an answer, and what must come before: least tokens, stop tokens, an echoed prompt."""

from pathlib import Path

import pytest

from tests.models import make_tokenizer
from tests.workers.llm.driver import GREEDY, Driver, change
from workers.errors import JobError
from workers.messages import Sampling, TextPrompt, TextWork, TokenBias, TokenPrompt

PROMPT = [*range(20, 31)]
EOS = 0
# An end token at each step, were it not barred.
ENDING = change(GREEDY, ignore_eos=False, max_tokens=30, logit_bias=[TokenBias(EOS, 100.0)])
RANDOM = Sampling(max_tokens=30, temperature=1.0, seed=5, ignore_eos=True)


@pytest.fixture(scope="module")
def driver(llama: Path) -> Driver:
    return Driver(llama)


@pytest.mark.parametrize("min_tokens", [0, 1, 7])
def test_no_end_token_comes_before_the_least(driver: Driver, min_tokens: int) -> None:
    answer = driver.generate(PROMPT, change(ENDING, min_tokens=min_tokens))
    plain = driver.generate(PROMPT, change(GREEDY, max_tokens=30)).token_ids
    assert answer.token_ids == [*plain[:min_tokens], EOS]
    assert answer.reason == "stop"


def test_nor_a_stop_token_nor_does_a_stop_string_count(driver: Driver) -> None:
    whole = driver.generate(PROMPT, RANDOM)
    stop_id, stop = whole.token_ids[2], whole.text[:2]
    assert driver.generate(PROMPT, change(RANDOM, stop=[stop])).text == ""
    answer = driver.generate(PROMPT, change(RANDOM, stop=[stop], min_tokens=10))
    assert answer.text[:2] == stop and len(answer.token_ids) >= 10
    answer = driver.generate(PROMPT, change(RANDOM, stop_token_ids=[stop_id], min_tokens=10))
    assert stop_id not in answer.token_ids[:10]


def test_least_tokens_bar_only_their_own_row(driver: Driver) -> None:
    alone = [driver.generate(PROMPT, change(ENDING, min_tokens=num)).token_ids for num in (5, 0)]
    jobs = [driver.add_tokens(PROMPT, change(ENDING, min_tokens=num)) for num in (5, 0)]
    driver.run()
    assert [driver.token_ids(job_id) for job_id in jobs] == alone


def test_stop_tokens_end_the_answer_and_are_its_last(driver: Driver) -> None:
    whole = driver.generate(PROMPT, RANDOM)
    stop_id = next(token_id for token_id in whole.token_ids if token_id > 1)
    answer = driver.generate(PROMPT, change(RANDOM, stop_token_ids=[399, stop_id]))
    assert answer.token_ids == whole.token_ids[: whole.token_ids.index(stop_id) + 1]
    assert answer.reason == "stop"
    assert answer.text == make_tokenizer().decode(answer.token_ids, skip_special_tokens=True)


def test_a_moved_answer_keeps_its_least(driver: Driver) -> None:
    sampling = change(ENDING, min_tokens=9, stop=["e"])
    whole = driver.generate(PROMPT, sampling).token_ids
    moved = driver.generate(PROMPT, sampling, generated=[whole[:4]])
    assert moved.token_ids == whole[4:]


@pytest.mark.parametrize("stop", [[], ["zzz"]])
def test_an_echoed_prompt_is_the_answers_first_text(driver: Driver, stop: list[str]) -> None:
    text = "Grüße <|end|> 🦊 "
    plain = driver.add(TextWork([TextPrompt(text)], change(RANDOM, stop=stop), n=2))
    echoing = driver.add(TextWork([TextPrompt(text)], change(RANDOM, stop=stop, echo=True), n=2))
    driver.run()
    for index in range(2):
        assert driver.answer(echoing, index).text == text + driver.answer(plain, index).text
        assert driver.token_ids(echoing, index) == driver.token_ids(plain, index)


def test_echoed_tokens_are_their_text_and_no_place_to_stop(driver: Driver) -> None:
    prompt = str(make_tokenizer().decode(PROMPT))
    whole = driver.generate(PROMPT, RANDOM).text
    answer = driver.generate(PROMPT, change(RANDOM, echo=True, stop=[prompt[:4]]))
    assert answer.text.startswith(prompt)
    assert prompt + whole == driver.generate(PROMPT, change(RANDOM, echo=True)).text


def test_a_cancelled_echo_that_was_never_begun(driver: Driver) -> None:
    job_id = driver.add_tokens(PROMPT, change(RANDOM, echo=True))
    driver.engine.cancel(job_id)
    driver.run()
    assert driver.answer(job_id).reason == "cancelled"


def test_an_unknown_stop_token(driver: Driver) -> None:
    with pytest.raises(JobError, match="400 is not in 0 … ") as caught:
        driver.add(TextWork([TokenPrompt(PROMPT)], change(RANDOM, stop_token_ids=[400])))
    assert caught.value.param == "stop_token_ids"
    driver.check_idle()
