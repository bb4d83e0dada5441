"""Conversations that are cut to the model's context, by its own tokens and template."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models import make_model, make_tokenizer
from tests.workers.llm.driver import GREEDY, Driver, change
from workers.errors import JobError
from workers.messages import ChatMessage, ChatPrompt, Finished, TextWork

LENGTH = 128
SYSTEM = ChatMessage("system", "Be kind.")
SHORT = change(GREEDY, max_tokens=8)


@pytest.fixture(scope="module")
def driver(llama: Path) -> Driver:
    return Driver(llama, max_model_len=LENGTH)


def num_tokens(messages: list[ChatMessage]) -> int:
    return len(ids_of(messages))


def ids_of(messages: list[ChatMessage]) -> list[int]:
    told = "".join(f"<|start|>{message.role}\n{message.content}<|end|>" for message in messages)
    ids: list[int] = make_tokenizer().encode(told + "<|start|>assistant\n")
    return ids


def exchanges(num: int, words: str = "the fox and the lantern") -> list[ChatMessage]:
    roles = itertools.cycle(("user", "assistant"))
    return [ChatMessage(next(roles), f"{words} {number}") for number in range(2 * num)]


def prompt_ids(driver: Driver, messages: list[ChatMessage], max_tokens: int = 8) -> list[int]:
    """What the model reads of a conversation that trims."""
    work = TextWork([ChatPrompt(messages, trims=True)], change(SHORT, max_tokens=max_tokens))
    job_id = driver.add(work)
    (sequence,) = driver.engine._jobs[job_id].sequences.values()
    ids = list(sequence.token_ids)
    driver.run()
    end = driver.transcripts[job_id].end
    assert isinstance(end, Finished)
    assert end.usage.prompt_tokens == len(ids)
    return ids


def test_what_fits_is_left_as_it_is(driver: Driver) -> None:
    messages = [SYSTEM, *exchanges(1), ChatMessage("user", "go on")]
    assert prompt_ids(driver, messages) == ids_of(messages)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=2, max_size=30),
    has_system=st.booleans(),
    max_tokens=st.sampled_from([1, 8, 100]),
)
def test_the_oldest_exchanges_go_and_no_more_than_must(
    driver: Driver, lengths: list[int], has_system: bool, max_tokens: int
) -> None:
    head = [SYSTEM] if has_system else []
    talk = [ChatMessage(("user", "assistant")[i % 2], "ab🦊 "[: n % 5] * n) for i, n in enumerate(lengths)]
    talk = talk[: (len(talk) - 1) // 2 * 2 + 1]
    room = LENGTH - min(max_tokens, LENGTH // 2)
    fits = [head + talk[start:] for start in range(0, len(talk), 2)]
    fits = [messages for messages in fits if num_tokens(messages) <= room] or fits[-1:]
    if num_tokens(fits[-1]) >= LENGTH:
        return
    ids = prompt_ids(driver, head + talk, max_tokens)
    assert ids in [ids_of(messages) for messages in fits]
    # What the template adds is learned as an average, so one exchange may go that just fitted.
    assert ids in [ids_of(messages) for messages in fits[:2]]


def test_a_talk_goes_on_for_ever(driver: Driver) -> None:
    messages = [SYSTEM]
    system_ids = ids_of([SYSTEM])[: -len(ids_of([]))]
    for number in range(60):
        messages.append(ChatMessage("user", f"question {number}"))
        ids = prompt_ids(driver, messages)
        assert len(ids) <= LENGTH - 8
        assert ids[: len(system_ids)] == system_ids
        assert f"question {number}<|end|>" in make_tokenizer().decode(ids)
        messages.append(ChatMessage("assistant", "an answer"))
    assert len(ids) > LENGTH // 2


def test_one_message_that_is_too_long_is_still_an_error(driver: Driver) -> None:
    long = ChatMessage("user", "🦊" * LENGTH)
    for messages in ([long], [SYSTEM, *exchanges(3), long]):
        with pytest.raises(JobError) as caught:
            driver.add(TextWork([ChatPrompt(messages, trims=True)], SHORT))
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    driver.check_idle()


def test_only_who_asks_for_it_is_trimmed(driver: Driver) -> None:
    with pytest.raises(JobError, match="limit of model"):
        driver.add(TextWork([ChatPrompt(exchanges(60))], SHORT))
    driver.check_idle()


def test_a_template_that_adds_much(tmp_path: Path) -> None:
    """It is learned from the first attempt, and the cut is right all the same."""
    template = "{% for message in messages %}{{ message.content }}{{ 'xyz' * 8 }}{% endfor %}"
    driver = Driver(make_model(tmp_path, "llama", chat_template=template), max_model_len=LENGTH)
    ids = prompt_ids(driver, exchanges(20)[:-1])
    assert LENGTH // 2 < len(ids) <= LENGTH - 8
    assert str(make_tokenizer().decode(ids)).startswith("the fox")
