"""Answers of a given form from the embedded model, whose template is given a place for tools."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.service_process import ServiceProcess
from workers.embedded import LANGUAGE

TOOLS_PLACE = "{%- for tool in tools or [] %}{{ tool | tojson }}{%- endfor %}"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
MESSAGES: Any = [{"role": "user", "content": "Tell me of a fox."}]
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("meet", "draw")
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("forms")
    model = shutil.copytree(LANGUAGE, folder / "model")
    template = Path(model, "chat_template.jinja")
    template.write_text(TOOLS_PLACE + template.read_text("utf-8"), "utf-8")
    with ServiceProcess(folder, "--model", str(model)) as service:
        yield service
        service.check_serves()
        assert service.stop() == 0


@pytest.fixture(scope="module")
def client(service: ServiceProcess) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60)


def form(schema: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "fox", "schema": schema}}


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answer_fits_its_schema(client: openai.OpenAI, temperature: float) -> None:
    answer = client.chat.completions.create(
        model="model",
        messages=MESSAGES,
        response_format=form(SCHEMA),
        n=4,
        seed=1,
        temperature=temperature,
    )
    for choice in answer.choices:
        assert choice.finish_reason == "stop"
        found = json.loads(choice.message.content or "")
        assert set(found) == {"name", "age"}
        assert isinstance(found["age"], int)


def test_json_of_any_kind_is_an_object(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="model",
        messages=MESSAGES,
        response_format={"type": "json_object"},
        max_tokens=200,
        seed=3,
        stream=True,
    )
    chunks = [chunk.choices[0] for chunk in stream]
    text = "".join(chunk.delta.content or "" for chunk in chunks)
    assert text.startswith("{")
    if chunks[-1].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


def test_an_answer_that_is_cut_short_ends_with_length(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="model", messages=MESSAGES, response_format=form(SCHEMA), max_tokens=2
    )
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "draw"}}])
def test_a_call_that_has_to_be(client: openai.OpenAI, choice: Any) -> None:
    with client.chat.completions.stream(
        model="model", messages=MESSAGES, tools=TOOLS, tool_choice=choice, seed=2
    ) as stream:
        for _ in stream:
            pass
        (made,) = stream.get_final_completion().choices
    calls: Any = made.message.tool_calls
    assert (len(calls), made.finish_reason, made.message.content or "") == (1, "tool_calls", "")
    assert calls[0].function.name in (("draw",) if isinstance(choice, dict) else ("meet", "draw"))
    assert set(json.loads(calls[0].function.arguments)) == {"name", "age"}


def test_neighbours_of_a_form_have_none(client: openai.OpenAI, service: ServiceProcess) -> None:
    """The same seed gives the same free text beside an answer of a form as alone."""

    def free() -> str:
        answer = client.chat.completions.create(model="model", messages=MESSAGES, seed=9, max_tokens=60)
        return answer.choices[0].message.content or ""

    alone = free()
    stream = client.chat.completions.create(
        model="model",
        messages=MESSAGES,
        response_format=form({"type": "string"}),
        max_tokens=400,
        stream=True,
    )
    next(iter(stream))
    assert free() == alone
    stream.close()
    service.wait_idle()


def test_a_schema_that_is_none_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="nonsense") as caught:
        client.chat.completions.create(
            model="model", messages=MESSAGES, response_format=form({"type": "nonsense"})
        )
    assert caught.value.param == "response_format"


def test_a_template_without_a_place_for_tools_says_so(shipped_service: ServiceProcess) -> None:
    answer = shipped_service.http.post("/v1/chat/completions", json={"messages": MESSAGES, "tools": TOOLS})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "tools")
    assert "no place for tools" in error["message"]
