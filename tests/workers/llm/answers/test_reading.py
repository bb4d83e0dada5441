"""Likelihoods of prompts' own tokens against transformers' own, in whatever company and pieces."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.workers.llm.driver import GREEDY, Driver, change
from workers.llm import start
from workers.messages import (
    Event,
    Failed,
    Finished,
    Sampling,
    TextDelta,
    TextPrompt,
    TextWork,
    TokenLogprob,
    TokenPrompt,
)

READ = Sampling(max_tokens=4, temperature=0.0, ignore_eos=True, top_logprobs=2, echo=True)
PROMPTS = [[(7 * i * i + 3 * i + k) % 250 + 5 for i in range(60 + 40 * k)] for k in range(3)]


@pytest.fixture(scope="module")
def model(llama: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(llama)


@pytest.fixture(scope="module")
def tokenizer(llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(llama)


def told(events: list[Event], job_id: int, index: int = 0) -> list[TokenLogprob]:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    return [t for d in deltas if (d.job_id, d.index) == (job_id, index) for t in d.logprobs]


def text_of(events: list[Event], job_id: int, index: int = 0) -> str:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    return "".join(delta.text for delta in deltas if (delta.job_id, delta.index) == (job_id, index))


def run(driver: Driver) -> list[Event]:
    events = []
    while driver.engine.has_work():
        events += driver.step()
    driver.check_idle()
    return events


def check(model: Any, token_ids: list[int], found: list[TokenLogprob]) -> None:
    """Each token's likelihood, and the best two of its place, are the model's own."""
    with torch.inference_mode():
        table = model(torch.tensor([token_ids])).logits[0].log_softmax(-1)
    assert len(found) == len(token_ids)
    assert (found[0].logprob, found[0].top) == (None, [])
    expected = table[:-1].gather(1, torch.tensor(token_ids[1:]).unsqueeze(1)).squeeze(1)
    logprobs = torch.tensor([token.logprob for token in found[1:]])
    torch.testing.assert_close(logprobs, expected, atol=1e-4, rtol=1e-4)
    best = torch.tensor([[other.logprob for other in token.top] for token in found[1:]])
    torch.testing.assert_close(best, table[:-1].topk(2).values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"max_batched_tokens": 24}, {"kernels": "off"}], ids=str)
def test_they_are_the_models_own(llama: Path, model: Any, tokenizer: Any, settings: dict[str, Any]) -> None:
    """In pieces, beside answers that join and leave, several to a prompt, with drafts and shared prefixes."""
    driver = Driver(llama, speculation="prompt_lookup", **settings)
    plain = [driver.add_tokens(prompt) for prompt in PROMPTS]
    events = [event for _ in range(3) for event in driver.step()]
    read = [driver.add_tokens(prompt, READ, n=2) for prompt in PROMPTS]
    alone = driver.add_tokens(PROMPTS[2], change(READ, max_tokens=0))
    events += run(driver)
    for prompt, job_id, plain_id in zip(PROMPTS, read, plain, strict=True):
        for index in (0, 1):
            answer = driver.token_ids(job_id, index)
            check(model, prompt + answer, told(events, job_id, index))
            assert answer == driver.token_ids(plain_id)[:4]
            text = text_of(events, job_id, index)
            assert text.startswith(tokenizer.decode(prompt))
            offsets = [token.offset for token in told(events, job_id, index)]
            assert offsets == sorted(offsets)
    check(model, PROMPTS[2], told(events, alone))
    assert text_of(events, alone) == tokenizer.decode(PROMPTS[2])
    end = driver.transcripts[alone].end
    assert isinstance(end, Finished)
    assert (end.reason, end.usage.completion_tokens, end.usage.prompt_tokens) == (
        "length",
        0,
        len(PROMPTS[2]),
    )


def test_neighbours_hear_nothing_of_it(llama: Path) -> None:
    prompt = [*range(20, 50)]
    alone = Driver(llama).generate(prompt, change(GREEDY, max_tokens=40))
    driver = Driver(llama, max_batched_tokens=16)
    job_id = driver.add_tokens(prompt, change(GREEDY, max_tokens=40))
    driver.step()
    driver.add_tokens(PROMPTS[2], READ)
    run(driver)
    assert driver.answer(job_id).token_ids == alone.token_ids


def test_so_many_rows_of_logits_in_a_step_at_most(
    llama: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prompts share the room; what is told comes piece by piece."""
    vocab_size = model.config.vocab_size
    monkeypatch.setattr(start, "MAX_READ_NUMBERS", 10 * vocab_size)
    driver = Driver(llama)
    num_rows = []
    forward = driver.runner.run

    def spy(batch: Any, *rest: Any) -> Any:
        num_rows.append(len(batch.sampled))
        return forward(batch, *rest)

    monkeypatch.setattr(driver.runner, "run", spy)
    job_ids = [driver.add_tokens(prompt, READ) for prompt in PROMPTS[:2]]
    events = run(driver)
    assert max(num_rows) <= 11
    for prompt, job_id in zip(PROMPTS, job_ids, strict=False):
        check(model, prompt + driver.token_ids(job_id), told(events, job_id))
        deltas = [event for event in events if isinstance(event, TextDelta) and event.job_id == job_id]
        assert len(deltas) > 6
        num_shown = 0
        for delta in deltas:
            assert all(num_shown <= token.offset <= num_shown + len(delta.text) for token in delta.logprobs)
            num_shown += len(delta.text)


def test_what_is_known_is_computed_all_the_same_and_shared(llama: Path, model: Any) -> None:
    driver = Driver(llama)
    driver.generate(PROMPTS[2])
    job_id = driver.add_tokens(PROMPTS[2], READ)
    events = run(driver)
    check(model, PROMPTS[2] + driver.token_ids(job_id), told(events, job_id))
    end = driver.transcripts[job_id].end
    assert isinstance(end, Finished)
    assert end.usage.cached_tokens == 0
    later = driver.add_tokens([*PROMPTS[2], 9, 9])
    run(driver)
    end = driver.transcripts[later].end
    assert isinstance(end, Finished)
    assert end.usage.cached_tokens > 100


def test_preempted_in_the_middle_it_says_nothing_twice(llama: Path, model: Any) -> None:
    driver = Driver(llama, max_batched_tokens=16)
    job_id = driver.add_tokens(PROMPTS[2], change(READ, max_tokens=6))
    events = [event for _ in range(4) for event in driver.step()]
    scheduler = driver.engine._scheduler
    (sequence,) = scheduler.running
    assert sequence.is_reading
    scheduler._preempt(sequence)
    while not driver.transcripts[job_id].answers[0].token_ids:
        events += driver.step()
    scheduler._preempt(sequence)
    events += run(driver)
    check(model, PROMPTS[2] + driver.token_ids(job_id), told(events, job_id))


def test_paused_and_cancelled_in_the_middle(llama: Path) -> None:
    driver = Driver(llama, max_batched_tokens=16)
    job_id = driver.add_tokens(PROMPTS[2], READ)
    events = [event for _ in range(4) for event in driver.step()]
    driver.engine.pause(job_id)
    assert not driver.engine.has_work()
    driver.engine.cancel(job_id)
    events += run(driver)
    assert 0 < len(told(events, job_id)) < len(PROMPTS[2])
    assert driver.answer(job_id).reason == "cancelled"


def test_resumed_elsewhere_only_what_follows_is_told(llama: Path) -> None:
    driver = Driver(llama)
    first = driver.add_tokens(PROMPTS[0], READ)
    whole = told(run(driver), first)
    generated = [driver.token_ids(first)[:2]]
    rest = driver.add_tokens(PROMPTS[0], READ, generated=generated)
    found = told(run(driver), rest)
    assert [token.offset for token in found] == [token.offset for token in whole[-2:]]


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_one_token_alone(llama: Path, tokenizer: Any, max_tokens: int) -> None:
    driver = Driver(llama)
    job_id = driver.add_tokens([77], change(READ, max_tokens=max_tokens))
    events = run(driver)
    found = told(events, job_id)
    assert [token.logprob is None for token in found] == [True, False][: 1 + max_tokens]
    assert text_of(events, job_id).startswith(tokenizer.decode([77]))


def test_the_token_that_ends_the_answer_is_told(llama: Path) -> None:
    """Who scores texts cuts off as many tokens as he asked for."""
    driver = Driver(llama)
    first = driver.generate(PROMPTS[0]).token_ids[0]
    sampling = change(READ, max_tokens=1, stop_token_ids=[first])
    job_id = driver.add_tokens(PROMPTS[0], sampling)
    assert len(told(run(driver), job_id)) == len(PROMPTS[0]) + 1


def test_a_whole_context_may_be_read(llama: Path) -> None:
    driver = Driver(llama, max_model_len=60)
    assert driver.generate(PROMPTS[0], change(READ, max_tokens=0)).reason == "length"


def test_echo_alone_needs_no_step(llama: Path) -> None:
    driver = Driver(llama)
    prompt = TextPrompt("the quick brown fox")
    job_id = driver.add(TextWork([prompt], change(READ, max_tokens=0, top_logprobs=None)))
    assert text_of(run(driver), job_id) == prompt.text


def test_each_token_is_told_where_its_text_is(llama: Path) -> None:
    driver = Driver(llama, max_batched_tokens=16)
    prompt = TextPrompt("the quick brown fox jumps over the lazy dog, and over it again. " * 3)
    job_id = driver.add(TextWork([prompt], change(READ, max_tokens=0)))
    events = run(driver)
    assert text_of(events, job_id) == prompt.text
    found = told(events, job_id)
    assert "".join(token.text for token in found) == prompt.text
    assert all(prompt.text[token.offset :].startswith(token.text) for token in found)


def test_a_text_stays_what_it_is(llama: Path) -> None:
    """Also where the tokenizer reads an end token in it, which has no text when it is decoded."""
    driver = Driver(llama)
    prompt = TextPrompt("the quick <|end|> brown fox ü 🦊")
    job_id = driver.add(TextWork([prompt], change(READ, max_tokens=2)))
    events = run(driver)
    assert text_of(events, job_id).startswith(prompt.text)
    offsets = [token.offset for token in told(events, job_id)]
    assert offsets == sorted(offsets)


def test_logits_that_are_no_numbers_fail_the_job(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(llama)
    engine, forward = driver.engine, driver.runner.run
    monkeypatch.setattr(driver.runner, "run", lambda *args: forward(*args).fill_(float("nan")))
    engine.add(1, TextWork([TokenPrompt(PROMPTS[0])], change(READ, max_tokens=0)))
    events = engine.step()
    assert isinstance(events[-1], Failed)
    assert engine.job_ids() == []
