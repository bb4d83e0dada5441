"""Tools on `/v1/chat/completions`: the echo model calls what the user's message calls."""

import json
from typing import Any

import openai
import pytest

from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS: Any = [{"type": "function", "function": WEATHER}, {"type": "function", "function": {"name": "news"}}]
CALLS = """I will look.

<tool_call>
{"name": "weather", "arguments": {"city": "K\u00f6ln, of course"}}
</tool_call>
<tool_call>
{"name": "news", "arguments": {}}
</tool_call>"""


def asking(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def client(service: ServiceProcess) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=REQUEST_TIMEOUT_S
    )


def test_calls_in_a_whole_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=asking(CALLS), tools=TOOLS)
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I will look.")
    calls: Any = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "news"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Köln, of course"}, {}]
    assert len({call.id for call in calls}) == 2


def test_calls_in_chunks_as_the_official_client_joins_them(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="echo", messages=asking(CALLS), tools=TOOLS) as stream:
        chunks = [event.chunk for event in stream if event.type == "chunk"]
        final = stream.get_final_completion()
    calls: Any = final.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "news"]
    assert json.loads(calls[0].function.arguments) == {"city": "Köln, of course"}
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    # The id and the name stand in a call's first piece alone: clients join what they are sent.
    assert [delta.index for delta in deltas if delta.id] == [0, 1]
    assert [delta.function.name for delta in deltas if delta.function and delta.function.name] == [
        "weather",
        "news",
    ]
    assert len(deltas) > 4
    assert final.choices[0].finish_reason == "tool_calls"


def test_without_tools_it_is_text(client: openai.OpenAI) -> None:
    for tools in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        answer = client.chat.completions.create(model="echo", messages=asking(CALLS), **tools)  # type: ignore[call-overload]
        assert answer.choices[0].message.content == CALLS
        assert answer.choices[0].message.tool_calls is None
        assert answer.choices[0].finish_reason == "stop"


def test_a_call_that_is_cut_short_ends_with_length(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=asking(CALLS), tools=TOOLS, max_tokens=8)
    (choice,) = answer.choices
    assert choice.finish_reason == "length"
    calls: Any = choice.message.tool_calls
    assert calls[0].function.name == "weather"


def test_calls_and_their_results_may_be_sent_back(client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages: Any = [
        *asking("How is it?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    answer = client.chat.completions.create(model="echo", messages=messages, tools=TOOLS)
    assert answer.choices[0].message.content == "sunny"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"tools": [{"type": "web"}]}, "tools", "type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools", "name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]}, "tools", "object"),
        ({"tools": [*TOOLS, TOOLS[0]]}, "tools", "twice"),
        ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice", "required"),
        ({"tool_choice": "auto"}, "tool_choice", "tools"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nope"}}},
            "tool_choice",
            "there is: weather, news",
        ),
        (
            {"tools": TOOLS, "tool_choice": "required", "response_format": {"type": "json_object"}},
            "response_format",
            "tool call",
        ),
        ({"response_format": {"type": "xml"}}, "response_format", "json_schema"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "required"),
        (
            {"response_format": {"type": "json_object"}, "min_tokens": 3},
            "response_format",
            "min_tokens",
        ),
        ({"tools": TOOLS, "tool_choice": "required"}, "response_format", "prompts back"),
    ],
)
def test_what_is_wrong_is_named(service: ServiceProcess, body: Any, param: str, words: str) -> None:
    answer = service.http.post("/v1/chat/completions", json={"messages": asking("x"), **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"].split(".")[0].split("[")[0]) == (400, param), error
    assert words in error["message"]
