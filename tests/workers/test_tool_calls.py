"""Tool calls are found in text however it is cut."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.tool_calls import ToolCallParser

CALL = (
    '<tool_call>\n{"name": "weather", "arguments": {"city": "K\\u00f6ln {]", "days": [1, 2]}}\n</tool_call>'
)
ARGUMENTS = {"city": "Köln {]", "days": [1, 2]}


def parse(pieces: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """The text, and each call's name and arguments."""
    parser, text = ToolCallParser(), ""
    calls: list[list[str]] = []
    ids = set()
    for shown, parts in [*map(parser.push, pieces), parser.push("", is_last=True)]:
        text += shown
        for part in parts:
            if part.name is not None:
                assert part.call == len(calls)
                ids.add(part.id)
                calls.append([part.name, ""])
            else:
                assert part.id is None
            calls[part.call][1] += part.arguments
    assert len(ids) == len(calls) == parser.num_calls
    return text, [(name, arguments) for name, arguments in calls]


@given(st.lists(st.integers(0, 200), max_size=12))
def test_however_the_text_is_cut(cuts: list[int]) -> None:
    whole = f"I will look.\n\n{CALL}\n{CALL.replace('weather', 'news')}\nDone."
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in pairwise(places)]
    text, calls = parse(pieces)
    assert text == "I will look.Done."
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [
        ("weather", ARGUMENTS),
        ("news", ARGUMENTS),
    ]


def test_arguments_come_as_they_are_written() -> None:
    parser = ToolCallParser()
    seen = [part for piece in CALL for part in parser.push(piece)[1]]
    assert seen[0].name == "weather"
    assert seen[0].id and seen[0].id.startswith("call_")
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        ("no call at all < <tool", "no call at all < <tool", []),
        ("trailing blanks \n", "trailing blanks \n", []),
        ("<tool_call>not json</tool_call>", "<tool_call>not json</tool_call>", []),
        ("<tool_call>" + "[" * 3_000 + "</tool_call>", "<tool_call>" + "[" * 3_000 + "</tool_call>", []),
        ('<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', "", [("f", '{"a": 1}')]),
        ('<tool_call>{"name": "f", "parameters": {}}</tool_call>', "", [("f", "{}")]),
        ('<tool_call>{"name": "f", "arguments": 12}</tool_call>', "", [("f", "12")]),
        ('<tool_call>{"name": "f", "arguments": "a\\"}"}</tool_call>', "", [("f", '"a\\"}"')]),
        ('<tool_call>{"name": "f", "arguments": {"a": ', "", [("f", '{"a": ')]),
        ('<tool_call>{"name": "f"', '<tool_call>{"name": "f"', []),
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call> \n ', "", [("f", "{}")]),
    ],
)
def test_what_is_a_call_and_what_is_text(text: str, shown: str, calls: list[Any]) -> None:
    assert parse([text]) == (shown, calls)
    assert parse(list(text)) == (shown, calls)
