"""Events -> the objects of each API. Pure functions: the same event, the same objects."""

import json
from typing import Any

import pytest

from service.dialects.dialect import Dialect, Out
from service.dialects.native import ChatDialect, GenerateDialect, PlainDialect, SafeDialect, StreamTextDialect
from service.dialects.openai import ChatCompletionsDialect, CompletionsDialect, Facts
from service.events import Retrying, StreamEvent, reason_of
from tests.service.fakes import JOB_ID, accepted, delta
from workers.errors import KINDS
from workers.messages import ChoiceFinished, Failed, Finished, Usage

FACTS = Facts("id-1", "echo", 2, True)
REASONS = ["stop", "length", "cancelled", "client_gone", "slow_client", "deadline", "drained"]
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def dialects() -> list[Dialect]:
    native = [
        GenerateDialect("s"),
        SafeDialect("s"),
        PlainDialect("s", "p"),
        StreamTextDialect(),
        ChatDialect("s"),
    ]
    return [*native, ChatCompletionsDialect(FACTS), CompletionsDialect(FACTS)]


def ids(dialect: Dialect) -> str:
    return type(dialect).__name__


def failed(code: str = "worker_lost") -> Failed:
    return Failed(JOB_ID, code, "it broke", None, Usage(3, 4))


def finished(reason: str) -> Finished:
    return Finished(JOB_ID, reason, Usage(3, 4), [0, 1])


def objects(outs: list[Out]) -> list[dict[str, Any]]:
    return [json.loads(out.body) for out in outs if out.body.startswith(b"{")]


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
@pytest.mark.parametrize("reason", REASONS)
def test_every_ending_says_its_reason_and_usage(dialect: Dialect, reason: str) -> None:
    outs = dialect.render(finished(reason))
    if isinstance(dialect, ChatDialect) and reason == "cancelled":
        assert outs[0].body == b"Stream cancelled"
        return
    said = objects(outs)
    assert said[-1]["usage"] == USAGE
    reasons = {item.get("finish_reason") for item in said} | {
        choice["finish_reason"] for item in said for choice in item.get("choices", [])
    }
    assert reason in reasons


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
@pytest.mark.parametrize("code", KINDS)
def test_every_failure_says_code_message_and_usage(dialect: Dialect, code: str) -> None:
    outs = dialect.render(failed(code))
    (body,) = objects(outs)
    assert body["usage"] == USAGE
    if isinstance(dialect, SafeDialect):
        assert (body["type"], body["error"], body["error_type"]) == ("error", "it broke", code)
    else:
        assert {"message", "type", "param", "code"} <= set(body["error"])
        assert (body["error"]["message"], body["error"]["code"]) == ("it broke", code)
        assert body["error"]["retryable"] is KINDS[code].is_retryable


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
def test_rendering_twice_is_the_same(dialect: Dialect) -> None:
    events: list[StreamEvent] = [
        accepted(),
        delta("x"),
        ChoiceFinished(JOB_ID, 1, "stop"),
        finished("stop"),
        failed(),
    ]
    assert [dialect.render(event) for event in events] == [dialect.render(event) for event in events]


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
def test_no_text_no_object(dialect: Dialect) -> None:
    assert dialect.render(delta("")) == []


@pytest.mark.parametrize("dialect", dialects(), ids=ids)
@pytest.mark.parametrize("reason", REASONS)
def test_plain_text_hides_no_cut(dialect: Dialect, reason: str) -> None:
    if isinstance(dialect, ChatCompletionsDialect | CompletionsDialect):
        return
    text = "".join(out.text for out in dialect.render(finished(reason)))
    if reason not in ("stop", "length"):
        assert text == f"\n\n[Generation ended: {reason}]"
    else:
        assert text == ("\n\n[Generation complete]" if isinstance(dialect, PlainDialect) else "")
    assert "it broke" in "".join(out.text for out in dialect.render(failed()))


def test_reasons_of_failures() -> None:
    assert [reason_of(failed(code)) for code in ("worker_lost", "engine_failed", "bad_params")] == [
        "worker_lost",
        "error",
        "error",
    ]


def test_the_event_names_of_native_routes() -> None:
    generate, chat = GenerateDialect("s"), ChatDialect("s")
    events: list[StreamEvent] = [accepted(), delta("x"), finished("stop"), failed()]
    assert [generate.render(event)[0].event for event in events] == ["start", "token", "complete", "error"]
    assert [chat.render(event)[0].event for event in events] == ["start", "message", "done", "error"]
    assert chat.render(finished("cancelled"))[0].event == "cancelled"
    assert {out.event for event in events for out in SafeDialect("s").render(event)} == {None}
    assert {out.event for event in events for out in StreamTextDialect().render(event)} == {None, "error"}


def test_a_retry() -> None:
    (out,) = SafeDialect("s").render(Retrying(JOB_ID, 1, 3, "lost"))
    assert json.loads(out.body) == {"type": "retry", "attempt": 1, "max_retries": 3, "error": "lost"}
    assert out.event is None


def test_openai_chunks_are_the_json_that_they_seem() -> None:
    """They are put together from parts, so that only the delta is encoded for each."""
    for dialect, member in ((ChatCompletionsDialect(FACTS), "delta"), (CompletionsDialect(FACTS), "text")):
        (chunk,) = objects(dialect.render(delta('q"\n🦊\u2028', 2, 1)))
        (choice,) = chunk["choices"]
        text = {"content": 'q"\n🦊\u2028'} if member == "delta" else 'q"\n🦊\u2028'
        assert choice == {"index": 1, member: text, "logprobs": None, "finish_reason": None}
        assert (chunk["id"], chunk["model"], chunk["usage"]) == ("id-1", "echo", None)
        assert chunk["created"] == dialect.created


def test_openai_usage_only_when_asked() -> None:
    dialect = ChatCompletionsDialect(Facts("id", "echo", 1, False))
    chunks = [
        chunk
        for event in (accepted(), delta("x"), finished("stop"))
        for chunk in objects(dialect.render(event))
    ]
    assert not any("usage" in chunk for chunk in chunks)


def test_openai_streams_end_with_done_and_only_once() -> None:
    for dialect in (ChatCompletionsDialect(FACTS), CompletionsDialect(FACTS)):
        for event in (finished("stop"), finished("drained"), failed()):
            bodies = [out.body for out in dialect.render(event)]
            assert bodies[-1] == b"[DONE]" and bodies.count(b"[DONE]") == 1
        assert b"[DONE]" not in [out.body for out in dialect.render(ChoiceFinished(JOB_ID, 0, "stop"))]
