"""Adapters are models to clients, on every route that takes one, beside their base in the same worker."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests import sse
from tests.models import make_adapter, make_model
from tests.service_process import ServiceProcess
from tests.websocket import receive, receive_until

NAMES = ("base", "pirate", "poet")
PROMPT = "Once upon a time"
MESSAGES = [{"role": "user", "content": PROMPT}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "ignore_eos": True}
SETTINGS = """
[models.base]
path = "{base}"
cache_bytes = 4_194_304

[models.base.adapters]
pirate = "{pirate}"
poet = "{poet}"

[models.echo]
engine = "echo"
path = "echo"
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("adapters")
    base = make_model(folder / "base", "llama")
    paths = {name: make_adapter(folder / name, base, seed) for seed, name in enumerate(NAMES[1:])}
    with ServiceProcess(folder, config=SETTINGS.format(base=base, **paths)) as service:
        yield service
        service.check_serves()
        assert service.stop() == 0


@pytest.fixture(scope="module")
def continued(service: ServiceProcess) -> dict[str, str]:
    """What each makes of the prompt as it stands."""
    return {name: complete(service, name) for name in NAMES}


@pytest.fixture(scope="module")
def answered(service: ServiceProcess) -> dict[str, str]:
    """What each answers to the prompt as a chat's first message."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0) as client:
        return {name: chat(client, name) for name in NAMES}


def complete(service: ServiceProcess, name: str) -> str:
    body = {"model": name, "prompt": PROMPT} | GREEDY
    answer = service.http.post("/v1/completions", json=body).json()
    assert answer["model"] == name
    text: str = answer["choices"][0]["text"]
    return text


def chat(client: openai.OpenAI, name: str) -> str:
    options: Any = {"temperature": 0, "max_tokens": 12, "extra_body": {"ignore_eos": True}}
    answer = client.chat.completions.create(model=name, messages=MESSAGES, **options)  # type: ignore[arg-type]
    assert answer.model == name
    return answer.choices[0].message.content or ""


def test_each_has_an_answer_of_its_own(continued: dict[str, str], answered: dict[str, str]) -> None:
    assert len(set(continued.values())) == len(set(answered.values())) == 3


def test_models_tell_whose_adapters_they_are(service: ServiceProcess) -> None:
    models = service.http.get("/v1/models").json()["data"]
    assert [(model["id"], model["root"], model["parent"]) for model in models] == [
        ("base", "base", None),
        ("pirate", "base", "base"),
        ("poet", "base", "base"),
        ("echo", "echo", None),
    ]
    assert models[1]["max_model_len"] == models[0]["max_model_len"] == 512
    assert service.http.get("/v1/models/poet").json() == models[2]


@pytest.mark.parametrize("name", NAMES)
def test_native_routes(
    service: ServiceProcess, name: str, continued: dict[str, str], answered: dict[str, str]
) -> None:
    raw = {"model": name, "prompt": PROMPT, "raw": True} | GREEDY
    for route in ("/generate_stream", "/safe_stream"):
        told = [event.json() for event in sse.events(service.http.post(route, json=raw))]
        assert "".join(part.get("token") or "" for part in told) == continued[name]
    simple = service.http.post("/chat/stream-simple", json={"model": name, "message": PROMPT} | GREEDY)
    assert simple.text == answered[name]


def test_without_a_name_the_base_answers(service: ServiceProcess, continued: dict[str, str]) -> None:
    answer = service.http.post("/v1/completions", json={"prompt": PROMPT} | GREEDY).json()
    assert (answer["model"], answer["choices"][0]["text"]) == ("base", continued["base"])


def test_an_unknown_name_is_404_naming_the_known(service: ServiceProcess) -> None:
    answer = service.http.post("/v1/chat/completions", json={"messages": MESSAGES, "model": "priate"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert error["message"].endswith("there is: base, pirate, poet, echo")


async def test_all_together(service: ServiceProcess, continued: dict[str, str]) -> None:
    async with aiohttp.ClientSession(service.url) as session:

        async def ask(name: str) -> str:
            async with session.post("/v1/completions", json={"model": name, "prompt": PROMPT} | GREEDY) as it:
                text: str = (await it.json())["choices"][0]["text"]
                return text

        names = NAMES * 5
        assert await asyncio.gather(*map(ask, names)) == [continued[name] for name in names]


async def test_websockets(service: ServiceProcess, answered: dict[str, str]) -> None:
    async with aiohttp.ClientSession(service.url) as session:
        async with session.ws_connect("/v1/chat/completions") as ws:
            for name in NAMES:
                await ws.send_json({"model": name, "messages": MESSAGES, "stream_id": name} | GREEDY)
            texts = dict.fromkeys(NAMES, "")
            num_open = len(NAMES)
            while num_open:
                chunk = await receive(ws)
                assert chunk["model"] == chunk["stream_id"]
                texts[chunk["model"]] += chunk["choices"][0]["delta"].get("content") or ""
                num_open -= bool(chunk["choices"][0]["finish_reason"])
            assert texts == answered
        async with session.ws_connect("/ws/anybody") as ws:
            for name in NAMES:
                await ws.send_json({"type": "chat", "message": PROMPT, "model": name} | GREEDY)
                told = await receive_until(ws, "done", "error")
                assert "".join(message.get("content", "") for message in told) == answered[name]


async def test_a_session_goes_on_under_another_name(
    service: ServiceProcess, answered: dict[str, str]
) -> None:
    """Its history is text, and whose turn it is says each message."""
    async with aiohttp.ClientSession(service.url) as session, session.ws_connect("/chat") as ws:
        await receive_until(ws, "system")
        said = []
        for name in ("poet", "pirate"):
            await ws.send_json({"type": "user_message", "message": PROMPT, "model": name} | GREEDY)
            told = await receive_until(ws, "ai_message_complete", "error")
            said.append(told[-1]["content"])
        assert said[0] == answered["poet"]
    history = [*MESSAGES, {"role": "assistant", "content": said[0]}, *MESSAGES]
    body = {"model": "pirate", "messages": history} | GREEDY
    answer = service.http.post("/v1/chat/completions", json=body).json()
    assert said[1] == answer["choices"][0]["message"]["content"]


def test_metrics_are_told_by_name(service: ServiceProcess, continued: dict[str, str]) -> None:
    assert continued
    text = service.http.get("/metrics", headers={"Accept": "text/plain"}).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    made = {s.labels["model"]: s.value for s in samples if s.name == "sluice_tokens_total"}
    assert all(made[name] >= 12 for name in NAMES)


def test_readiness_is_of_the_base(service: ServiceProcess) -> None:
    assert service.http.get("/readyz").status_code == 200
    workers = service.http.get("/metrics").json()["workers"]
    assert [worker["model"] for worker in workers] == ["base", "echo"]
