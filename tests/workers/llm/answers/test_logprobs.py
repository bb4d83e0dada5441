"""Likelihoods against transformers' own, and each told with the text that its token begins."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.models import make_tokenizer
from tests.workers.llm.driver import GREEDY, Driver, change
from workers.llm.intake.vocabulary import Vocabulary
from workers.messages import Sampling, TextDelta, TokenBias, TokenLogprob

PROMPT = [*range(20, 31)]
RANDOM = Sampling(max_tokens=40, temperature=1.0, seed=5, ignore_eos=True, top_logprobs=2)


@pytest.fixture(scope="module")
def driver(llama: Path) -> Driver:
    return Driver(llama)


def tell(driver: Driver, sampling: Sampling, **work: Any) -> tuple[list[TextDelta], str]:
    """An answer's deltas and the reason that it ended for."""
    job_id = driver.add_tokens(PROMPT, sampling, **work)
    deltas = []
    while driver.engine.has_work():
        deltas += [event for event in driver.step() if isinstance(event, TextDelta)]
    return deltas, str(driver.answer(job_id).reason)


def entries(deltas: list[TextDelta]) -> list[TokenLogprob]:
    return [token for delta in deltas for token in delta.logprobs]


def reference(llama: Path, token_ids: list[int]) -> torch.Tensor:
    """`[T, V]`: the logprobs of each of the answer's places."""
    model = AutoModelForCausalLM.from_pretrained(llama)
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([PROMPT + token_ids])).logits[0]
    return logits[len(PROMPT) - 1 : -1].log_softmax(-1)


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": 1.7, "top_p": 0.9},
        {"presence_penalty": 1.5, "logit_bias": [TokenBias(77, 5.0)]},
    ],
    ids=str,
)
def test_they_are_the_models_own_whatever_was_made_of_them(
    driver: Driver, llama: Path, values: dict[str, Any]
) -> None:
    deltas, _ = tell(driver, change(RANDOM, top_logprobs=3, **values))
    told = entries(deltas)
    token_ids = [token_id for delta in deltas for token_id in delta.token_ids]
    table = reference(llama, token_ids)
    assert len(told) == len(token_ids) == 40
    for token, token_id, row in zip(told, token_ids, table, strict=True):
        assert token.logprob == pytest.approx(float(row[token_id]), abs=1e-3)
        assert [other.logprob for other in token.top] == pytest.approx(row.topk(3).values.tolist(), abs=1e-3)
        assert token.top[0].logprob <= 0


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999), num_top=st.integers(0, 2), stop_at=st.integers(0, 200), size=st.integers(0, 4)
)
def test_each_comes_with_the_text_that_it_begins(
    driver: Driver, seed: int, num_top: int, stop_at: int, size: int
) -> None:
    """Whatever is held back: halves of characters, beginnings of stop strings, and what they cut off."""
    sampling = change(RANDOM, seed=seed, top_logprobs=num_top)
    whole = "".join(delta.text for delta in tell(driver, sampling)[0])
    stop = [stop_text] if (stop_text := whole[stop_at : stop_at + size]) else []
    deltas, reason = tell(driver, change(sampling, stop=stop))
    num_shown = 0
    for delta in deltas:
        assert all(num_shown <= t.offset < num_shown + len(delta.text) for t in delta.logprobs if t.raw)
        num_shown += len(delta.text)
    told = entries(deltas)
    text = b"".join(token.raw for token in told).decode(errors="replace")
    shown = "".join(delta.text for delta in deltas)
    assert text.startswith(shown) if reason == "stop" else text == shown == whole
    assert [len(token.top) for token in told] == [num_top] * len(told)
    offsets = [token.offset for token in told]
    assert offsets == sorted(offsets)
    if stop:
        assert all(offset < len(shown) for offset in offsets)


def test_asking_changes_nothing_and_costs_others_nothing(driver: Driver) -> None:
    alone = driver.generate(PROMPT, change(RANDOM, top_logprobs=None))
    asking, other = (
        driver.add_tokens(PROMPT, RANDOM),
        driver.add_tokens(PROMPT, change(RANDOM, top_logprobs=None)),
    )
    told: dict[int, int] = {asking: 0, other: 0}
    while driver.engine.has_work():
        for event in driver.step():
            if isinstance(event, TextDelta):
                told[event.job_id] += len(event.logprobs)
    assert driver.token_ids(asking) == driver.token_ids(other) == alone.token_ids
    assert told == {asking: 40, other: 0}


def test_the_token_that_ends_an_answer_is_no_part_of_it(driver: Driver) -> None:
    """Where it is ignored it is one of its tokens: it has a name, and no bytes."""
    end = change(GREEDY, logit_bias=[TokenBias(0, 100.0)], max_tokens=3, top_logprobs=0)
    deltas, reason = tell(driver, change(end, ignore_eos=False))
    assert (entries(deltas), reason) == ([], "stop")
    deltas, reason = tell(driver, end)
    assert [(token.text, token.raw) for token in entries(deltas)] == [("<|end|>", b"")] * 3
    assert reason == "length"


def test_a_cancelled_answer_tells_all(driver: Driver) -> None:
    job_id = driver.add_tokens(PROMPT, change(RANDOM, stop=["never" * 9]))
    events = [event for _ in range(9) for event in driver.step()]
    driver.engine.cancel(job_id)
    events += driver.step()
    assert len(entries([event for event in events if isinstance(event, TextDelta)])) == 9


def test_what_cannot_be_is_still_a_number(driver: Driver) -> None:
    deltas, _ = tell(driver, change(RANDOM, top_logprobs=2000))
    assert all(math.isfinite(other.logprob) for token in entries(deltas) for other in token.top)
    assert {len(token.top) for token in entries(deltas)} == {driver.engine.limits.vocab_size}


def test_byte_level_tokens_are_their_bytes() -> None:
    tokenizer = make_tokenizer()
    vocabulary = Vocabulary(tokenizer, frozenset({0, 1}))
    text = "Grüße 🦊  x\n你"
    ids = tokenizer.encode(text)
    assert b"".join(vocabulary[token_id].raw for token_id in ids) == text.encode()
    assert any("\ufffd" in vocabulary[token_id].text for token_id in ids)
    assert vocabulary[0] == ("<|end|>", b"")
    assert vocabulary[10_000] == ("", b"")


def test_sentencepiece_tokens_keep_their_space() -> None:
    pieces = {"<unk>": 0, "▁the": 1, "fox": 2, "▁": 3, "<0xE4>": 4, "s": 5}
    tokenizer = Tokenizer(models.BPE(pieces, [], unk_token="<unk>", byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    vocabulary = Vocabulary(PreTrainedTokenizerFast(tokenizer_object=tokenizer), frozenset({0}))
    assert [vocabulary[i].raw for i in range(6)] == [b"", b" the", b"fox", b" ", b"\xe4", b"s"]
