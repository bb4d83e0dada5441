"""Answers of a given form from the embedded model, whose template is given a place for tools."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess
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
JSON = {"Content-Type": "application/json"}
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
    return openai.OpenAI(
        base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=REQUEST_TIMEOUT_S
    )


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
        model="model", messages=MESSAGES, response_format=form(SCHEMA), max_tokens=2, seed=5
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


DEAR = {"type": "string", "allOf": [{"pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(1, 20)]}


def test_a_schema_that_never_ends_is_refused_and_holds_up_nobody(
    client: openai.OpenAI, service: ServiceProcess
) -> None:
    """A free answer is begun and ended while it is compiled; who asks for it again is refused at once."""
    refusals = []

    def ask() -> None:
        with pytest.raises(openai.BadRequestError, match="to compile") as caught:
            client.chat.completions.create(model="model", messages=MESSAGES, response_format=form(DEAR))
        refusals.append(caught.value.param)

    asking = threading.Thread(target=ask)
    asking.start()
    service.wait_for_metrics(lambda metrics: metrics["active_streams"])
    client.chat.completions.create(model="model", messages=MESSAGES, max_tokens=20)
    assert not refusals
    asking.join()
    ask()
    assert refusals == ["response_format"] * 2


def test_nested_too_deeply(service: ServiceProcess) -> None:
    """Where JSON's readers end, at a depth of some hundreds or thousands, is an error of the request."""
    for depth in (200, 900, 3_000, 20_000):
        schema = '{"properties":{"a":' * depth + "{}" + "}}" * depth
        wishes = [
            f'"response_format": {{"type":"json_schema","json_schema":{{"name":"a","schema":{schema}}}}}',
            '"tool_choice": "required", "tools": [{"type": "function", "function":'
            f' {{"name": "f", "parameters": {schema}}}}}]',
        ]
        for wish in wishes:
            body = f'{{"model": "model", "messages": {json.dumps(MESSAGES)}, {wish}}}'
            answer = service.http.post("/v1/chat/completions", content=body, headers=JSON)
            assert answer.status_code == 400, (depth, wish[:20], answer.text[:300])


def test_a_worker_that_leaves_waits_for_a_grammar(tmp_path: Path) -> None:
    """As for any job that it has; the limit of one compilation is the longest that this can take."""
    statuses = []
    with ServiceProcess(tmp_path, "--model", str(LANGUAGE)) as service:

        def ask() -> None:
            body = {"messages": MESSAGES, "response_format": form(DEAR)}
            statuses.append(
                httpx.post(f"{service.url}/v1/chat/completions", json=body, timeout=60).status_code
            )

        asking = threading.Thread(target=ask)
        asking.start()
        service.wait_for_metrics(lambda metrics: metrics["active_streams"])
        assert service.stop() == 0
        asking.join()
    assert statuses == [400]


def test_a_template_without_a_place_for_tools_says_so(shipped_service: ServiceProcess) -> None:
    answer = shipped_service.http.post("/v1/chat/completions", json={"messages": MESSAGES, "tools": TOOLS})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "tools")
    assert "no place for tools" in error["message"]
