"""The echo engine keeps the promises of every engine, whatever is asked of it in whatever order."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.command_line import load
from config.settings import ModelSettings
from workers.echo.engine import EchoEngine, split
from workers.errors import JobError, LoadError
from workers.messages import (
    Accepted,
    ChatMessage,
    ChatPrompt,
    ChoiceFinished,
    Event,
    Failed,
    Finished,
    Prompt,
    Sampling,
    Started,
    TextDelta,
    TextPrompt,
    TextWork,
    TokenPrompt,
    Usage,
)


def settings_of(path: str = "echo", **fields: object) -> ModelSettings:
    flags = [flag for name, value in fields.items() for flag in ("--set", f"models.echo.{name}={value}")]
    flags = ["--model", path, "--set", f"models.echo.path={path}", *flags]
    return load(flags, {}).models["echo"]


def engine_of(**fields: object) -> EchoEngine:
    return EchoEngine("echo", settings_of(**fields))


def run(engine: EchoEngine) -> list[Event]:
    """Step until nothing is left to do."""
    events: list[Event] = []
    while engine.has_work():
        events += engine.step()
    return events


def work(text: str = "one two three", max_tokens: int = 1_000, **fields: object) -> TextWork:
    ignore_eos = bool(fields.pop("ignore_eos", False))
    sampling = Sampling(max_tokens, ignore_eos=ignore_eos)
    return TextWork([TextPrompt(text)], sampling, **fields)  # type: ignore[arg-type]


def text_of(events: list[Event], index: int = 0) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.index == index)


@given(st.text())
def test_words_joined_are_the_prompt(text: str) -> None:
    words = split(TextPrompt(text))
    assert words
    assert "".join(words) == text


@given(st.text(min_size=1), st.integers(1, 4))
def test_the_answer_is_the_prompt(text: str, n: int) -> None:
    engine = engine_of()
    engine.add(1, work(text, n=n))
    events = run(engine)
    assert [text_of(events, index) for index in range(n)] == [text] * n


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (TextPrompt("a b"), "a b"),
        (ChatPrompt([ChatMessage("user", "first"), ChatMessage("user", "last one")]), "last one"),
        (ChatPrompt([ChatMessage("user", "")]), ""),
        (TokenPrompt([7, 8]), " 7 8"),
    ],
)
def test_every_kind_of_prompt(prompt: Prompt, answer: str) -> None:
    engine = engine_of()
    engine.add(1, TextWork([prompt], Sampling(100)))
    events = run(engine)
    assert text_of(events) == answer
    assert isinstance(events[-1], Finished)


def test_events_of_a_job_in_order() -> None:
    engine = engine_of()
    assert engine.add(1, work("a b")) == Accepted(1, 2)
    assert run(engine) == [
        Started(1),
        TextDelta(1, 0, "a", [0], 1),
        TextDelta(1, 0, " b", [1], 2),
        Finished(1, "stop", Usage(2, 2), [0]),
    ]


def test_max_tokens_ends_with_length_and_ignore_eos_goes_round() -> None:
    engine = engine_of()
    engine.add(1, work("a b", max_tokens=1))
    engine.add(2, work("a b", max_tokens=5, ignore_eos=True))
    events = run(engine)
    ends = {event.job_id: event for event in events if isinstance(event, Finished)}
    assert (ends[1].reason, ends[1].usage) == ("length", Usage(2, 1))
    assert (ends[2].reason, ends[2].usage) == ("length", Usage(2, 5))
    assert text_of([event for event in events if event.job_id == 2]) == "a ba ba"


def test_choices_end_one_by_one_and_the_last_ends_the_job() -> None:
    engine = engine_of()
    prompts: list[Prompt] = [TextPrompt("a b c"), TextPrompt("a")]
    engine.add(1, TextWork(prompts, Sampling(10), 2))
    events = [event for event in run(engine) if isinstance(event, ChoiceFinished | Finished)]
    assert [event.index for event in events if isinstance(event, ChoiceFinished)] == [2, 3, 0]
    assert events[-1] == Finished(1, "stop", Usage(4, 8), [1])


@given(st.data())
def test_a_moved_job_goes_on_where_it_was(data: st.DataObject) -> None:
    """What one engine sent and what the next sends after it are together the whole answer."""
    text, n = "the quick brown fox jumps over it", data.draw(st.integers(1, 3))
    first = engine_of()
    first.add(1, work(text, n=n))
    sent: list[Event] = []
    for _ in range(data.draw(st.integers(0, 6))):
        sent += first.step()
    generated = [[0] * sum(isinstance(e, TextDelta) and e.index == i for e in sent) for i in range(n)]
    done = [event.index for event in sent if isinstance(event, ChoiceFinished)]
    second = engine_of()
    second.add(1, work(text, n=n, generated=generated, done=done))
    events = run(second)
    assert [text_of(sent + events, index) for index in range(n)] == [text] * n
    assert isinstance(events[-1], Finished)
    assert events[-1].usage == Usage(7, 7 * n)


def test_only_so_many_run_at_once() -> None:
    engine = engine_of(max_num_seqs=2)
    for job_id in (1, 2, 3):
        engine.add(job_id, work())
    assert {event.job_id for event in engine.step()} == {1, 2}
    assert (engine.stats().num_running, engine.stats().num_waiting) == (2, 1)
    engine.pause(1)
    assert {event.job_id for event in engine.step()} == {2, 3}
    assert engine.stats().num_paused == 1


def test_a_cancelled_job_is_gone_after_the_next_step() -> None:
    engine = engine_of(max_num_seqs=1)
    engine.add(1, work(max_tokens=10, ignore_eos=True))
    engine.add(2, work())
    engine.step()
    for job_id in (1, 2, 2, 99):
        engine.cancel(job_id)
    events = engine.step()
    assert {(event.job_id, event.reason) for event in events if isinstance(event, Finished)} == {
        (1, "cancelled"),
        (2, "cancelled"),
    }
    assert not engine.has_work()
    assert not engine.job_ids()


def test_a_paused_job_can_be_cancelled() -> None:
    engine = engine_of()
    engine.add(1, work())
    engine.pause(1)
    assert not engine.has_work()
    engine.cancel(1)
    assert [event.reason for event in run(engine) if isinstance(event, Finished)] == ["cancelled"]


def test_too_long_a_prompt_is_refused_and_leaves_nothing() -> None:
    engine = engine_of(max_model_len=2)
    with pytest.raises(JobError, match="3 tokens > 2") as caught:
        engine.add(1, work("a b c"))
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")
    assert not engine.job_ids()


def test_a_conversation_that_trims_keeps_its_system_prompt_and_its_newest_words() -> None:
    engine = engine_of(max_model_len=10)
    messages = [ChatMessage("system", "be kind")]
    for number in range(5):
        messages += [ChatMessage("user", f"question {number}"), ChatMessage("assistant", "so it is")]
        prompt = ChatPrompt([*messages, ChatMessage("user", "a b c")], trims=True)
        # Two of the system and three of the question; the five of the exchange before would leave no answer.
        assert engine.add(number, TextWork([prompt], Sampling(2))) == Accepted(number, 5)
        assert text_of(run(engine)) == "a b c"[:3]
    # 2 + 2 + 3 + 2: beside one token they fit, beside two only the system's and the question do.
    for max_tokens, size in ((1, 9), (2, 4)):
        work = TextWork([ChatPrompt(messages[:4], trims=True)], Sampling(max_tokens))
        assert engine.add(9, work) == Accepted(9, size)
        run(engine)
    long = ChatPrompt([*messages, ChatMessage("user", "a" + " a" * 8)], trims=True)
    with pytest.raises(JobError, match="11 tokens > 10"):
        engine.add(10, TextWork([long], Sampling(2)))
    assert not engine.job_ids()


@pytest.mark.parametrize("path", ["", "ech", "echo@", "echo@x", "clock@1@2", "echo@-1", "echo@0"])
def test_unknown_variants_are_named(path: str) -> None:
    with pytest.raises(LoadError, match="unknown variant"):
        EchoEngine("echo", ModelSettings(**(fields_of(settings_of()) | {"path": path})))


def fields_of(settings: ModelSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


@given(st.lists(st.tuples(st.sampled_from(["add", "cancel", "pause", "resume", "step"]), st.integers(0, 5))))
def test_exactly_one_terminal_event_whatever_happens(calls: list[tuple[str, int]]) -> None:
    engine, events, added = engine_of(max_num_seqs=2), list[Event](), set[int]()
    for call, number in calls:
        if call == "add" and number not in added:
            added.add(number)
            engine.add(number, work(max_tokens=number + 1, ignore_eos=True, n=1 + number % 2))
        elif call == "step":
            events += engine.step() if engine.has_work() else []
        elif call != "add":
            getattr(engine, call)(number)
    for number in added:
        engine.resume(number)
    events += run(engine)
    ends = Counter(event.job_id for event in events if isinstance(event, Finished | Failed))
    assert ends == dict.fromkeys(added, 1)
    for number in added:
        own = [event for event in events if event.job_id == number]
        assert isinstance(own[-1], Finished | Failed)
    assert not engine.job_ids()
    assert engine.stats().num_running == engine.stats().num_waiting == engine.stats().num_paused == 0
