"""Penalties and biases against a plain reference, in the sampler and through the engine."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.llm.driver import GREEDY, Driver, change
from workers.errors import JobError
from workers.llm.sampling.penalties import Biases, TokenCounts, adjust
from workers.llm.sampling.sampler import Draw, sample
from workers.messages import Sampling, TextWork, TokenBias, TokenPrompt

VOCAB = 40
PROMPT = [*range(20, 31)]
PENALTIES = st.builds(
    Sampling,
    st.just(1),
    temperature=st.just(0.0),
    presence_penalty=st.sampled_from([0.0, 1.5, -2.0]),
    frequency_penalty=st.sampled_from([0.0, 0.7, -0.3]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.5]),
    logit_bias=st.lists(
        st.builds(TokenBias, st.integers(0, VOCAB - 1), st.sampled_from([-100.0, 3.0, 100.0])),
        max_size=5,
        unique_by=lambda token: token.token_id,
    ),
)
TOKENS = st.lists(st.integers(0, VOCAB - 1), max_size=200)


def expected(logits: torch.Tensor, sampling: Sampling, prompt: list[int], answer: list[int]) -> torch.Tensor:
    """One row, token by token."""
    row, counts = logits.clone(), Counter(answer)
    for token_id in {*prompt, *answer}:
        factor = sampling.repetition_penalty
        row[token_id] = row[token_id] / factor if row[token_id] > 0 else row[token_id] * factor
    for token_id, count in counts.items():
        row[token_id] -= sampling.frequency_penalty * count + sampling.presence_penalty
    for token in sampling.logit_bias:
        row[token.token_id] += token.bias
    return row


def draw_of(sampling: Sampling, prompt: list[int], answer: list[int]) -> Draw:
    counts = TokenCounts.of(sampling, prompt)
    for token_id in answer:
        if counts is not None:
            counts.add(token_id)
    return Draw(sampling, 1, len(answer), counts, Biases.of(sampling))


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.tuples(PENALTIES, TOKENS, TOKENS), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_each_row_as_if_it_were_alone(rows: list[tuple[Sampling, list[int], list[int]]], seed: int) -> None:
    logits = torch.randn(len(rows), VOCAB, generator=torch.Generator().manual_seed(seed)) * 3
    adjusted = logits.clone()
    draws = [draw_of(*row) for row in rows]
    adjust(adjusted, draws)
    for before, after, row in zip(logits, adjusted, rows, strict=True):
        torch.testing.assert_close(after, expected(before, *row))
    assert sample(logits.clone(), draws).tolist() == adjusted.argmax(-1).tolist()


def test_who_does_not_ask_is_not_touched() -> None:
    logits = torch.randn(3, VOCAB)
    plain = Draw(Sampling(1), 1, 0)
    adjusted = logits.clone()
    adjust(adjusted, [plain, draw_of(Sampling(1, presence_penalty=2), [], [3]), plain])
    changed = (adjusted != logits).nonzero().tolist()
    assert changed == [[1, 3]]


@pytest.fixture(scope="module")
def driver(llama: Path) -> Driver:
    return Driver(llama)


def test_a_presence_penalty_ends_repetition(driver: Driver) -> None:
    """The tiny model, greedy, repeats itself; with the penalty it says each token once."""
    sampling = change(GREEDY, max_tokens=40)
    plain = driver.generate(PROMPT, sampling).token_ids
    assert len(set(plain)) < len(plain)
    penalised = driver.generate(PROMPT, change(sampling, presence_penalty=1000.0)).token_ids
    assert len(set(penalised)) == len(penalised)
    place = next(i for i, token_id in enumerate(plain) if token_id in plain[:i])
    assert penalised[:place] == plain[:place]


def test_a_repetition_penalty_sees_the_prompt(driver: Driver) -> None:
    first = driver.generate(PROMPT).token_ids[0]
    prompt = [*PROMPT[:-1], first, PROMPT[-1]]
    sampling = change(GREEDY, max_tokens=30, repetition_penalty=1e6)
    assert not set(driver.generate(prompt, sampling).token_ids) & set(prompt)


def test_a_bias_forces_and_forbids(driver: Driver) -> None:
    forced = driver.generate(PROMPT, change(GREEDY, logit_bias=[TokenBias(77, 100.0)])).token_ids
    assert forced == [77] * 12
    plain = driver.generate(PROMPT).token_ids
    forbidden = change(GREEDY, logit_bias=[TokenBias(token_id, -100.0) for token_id in set(plain)])
    assert not set(driver.generate(PROMPT, forbidden).token_ids) & set(plain)


@pytest.mark.parametrize(
    "values",
    [{"frequency_penalty": 0.5}, {"repetition_penalty": 1.2}, {"logit_bias": [TokenBias(30, 4.0)]}],
    ids=str,
)
def test_seeds_hold_in_company_and_after_a_move(driver: Driver, values: dict[str, object]) -> None:
    sampling = change(GREEDY, temperature=1.0, seed=9, max_tokens=24, **values)
    alone = driver.generate(PROMPT, sampling).token_ids
    jobs = [driver.add_tokens(PROMPT, change(sampling, seed=seed)) for seed in (1, 9, 5)]
    plain = driver.add_tokens(PROMPT, change(GREEDY, max_tokens=24))
    moved = driver.add_tokens(PROMPT, sampling, generated=[alone[:10]])
    driver.run()
    assert driver.token_ids(jobs[1]) == alone
    assert driver.token_ids(moved) == alone[10:]
    assert driver.token_ids(plain) == driver.generate(PROMPT, change(GREEDY, max_tokens=24)).token_ids


def test_an_unknown_token_cannot_be_biased(driver: Driver) -> None:
    work = TextWork([TokenPrompt(PROMPT)], change(GREEDY, logit_bias=[TokenBias(400, 1.0)]))
    with pytest.raises(JobError, match="400 is not in 0 … ") as caught:
        driver.add(work)
    assert (caught.value.code, caught.value.param) == ("bad_params", "logit_bias")
    driver.check_idle()
