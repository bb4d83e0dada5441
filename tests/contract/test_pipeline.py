"""`/pipeline_stream` through a real service whose models are tiny."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import sse
from tests.contract.stages import TEXT, USAGE, post, refused, run
from tests.pipeline_models import POISON
from tests.service_process import ServiceProcess

STEPS = ["preprocessing", "sentiment", "entities", "summary", "translation"]


@pytest.fixture(scope="module")
def service(pipeline_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A pipeline of tiny models, and an echo model."""
    yield pipeline_service
    pipeline_service.wait_ready()
    pipeline_service.check_serves()


def test_each_step_starts_and_completes_in_order(service: ServiceProcess) -> None:
    answer = post(service, "/pipeline_stream", text=TEXT)
    events = list(sse.events(answer))
    assert [event.id for event in events] == [str(number) for number in range(1, 12)]
    *steps, last = (json.loads(event.data) for event in events)
    told = [(event["step"], event["status"]) for event in steps]
    assert told == [(step, status) for step in STEPS for status in ("starting", "completed")]
    assert (last["step"], last["status"]) == ("pipeline_complete", "completed")
    assert last["finish_reason"] == "completed"
    assert last["usage"]["stages"] == 5
    assert set(last["usage"]) == USAGE
    assert last["processing_time"] > 0
    assert steps[0]["input"] == {"text": TEXT}
    assert steps[0]["stream_id"] == answer.headers["X-Stream-Id"]


def test_data_accumulates(service: ServiceProcess) -> None:
    events = run(service, "/pipeline_stream", text=TEXT)
    data: dict[str, Any] = {"text": TEXT}
    for event in events:
        if event["status"] == "completed" and "result" in event:
            data |= event["result"]
            assert event["accumulated_data"] == data
    assert events[-1]["final_result"] == data
    assert (data["cleaned_text"], data["word_count"]) == (TEXT, len(TEXT.split()))
    assert data["sentiment"] in ("NEGATIVE", "NEUTRAL", "POSITIVE")
    assert 0 < data["sentiment_score"] <= 1
    assert [(entity["text"], entity["type"]) for entity in data["entities"]] == [
        ("Köln", "GPE"),
        ("Anna Schmidt", "PERSON"),
        ("Monday", "DATE"),
    ]
    assert all("confidence" in entity for entity in data["entities"])
    assert isinstance(data["summary"], str)
    assert isinstance(data["translated_text"], str)


def test_steps_as_a_list_and_in_a_query(service: ServiceProcess) -> None:
    listed = run(service, "/pipeline_stream", text=TEXT, steps=["entities", "preprocessing"])
    assert [event["step"] for event in listed][::2] == ["entities", "preprocessing", "pipeline_complete"]
    query = {"text": TEXT, "steps": "preprocessing, sentiment"}
    answer = service.http.get("/pipeline_stream", params=query)
    assert answer.headers["Content-Type"] == "text/event-stream"
    got = sse.objects(answer.iter_bytes())
    assert [event["step"] for event in got][::2] == ["preprocessing", "sentiment", "pipeline_complete"]
    again = service.http.get("/pipeline_stream", params=query | {"steps": ["preprocessing", "sentiment"]})
    assert [event["step"] for event in sse.objects(again.content)] == [event["step"] for event in got]
    twice = refused(service.http.get("/pipeline_stream", params={"text": ["x", "y"]}))
    assert "$.text: Expected `str`, got `array`" in twice["message"]


@pytest.mark.parametrize(
    ("path", "method", "names"),
    [
        ("/pipeline_stream", "post", ["text", "target_language", "steps", "model", "stream_text"]),
        ("/pipeline_stream", "get", ["text", "target_language", "steps", "model", "stream_text"]),
        ("/process_stream", "post", ["data", "chunk_size", "model"]),
        (
            "/process-stream",
            "post",
            [
                "text",
                "include_sentiment",
                "include_summary",
                "include_entities",
                "chunk_size",
                "model",
                "stream_text",
            ],
        ),
    ],
)
def test_the_description_has_all_params(
    service: ServiceProcess, path: str, method: str, names: list[str]
) -> None:
    document = service.http.get("/openapi.json").json()
    operation = document["paths"][path][method]
    streams = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
    assert streams == {"X-Stream-Resumable", "X-Request-Timeout"}
    if method == "get":
        query = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
        assert query == [*names, "resumable"]
    else:
        place = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][place.rpartition("/")[2]]
        assert list(schema["properties"]) == names


def test_a_failing_step_ends_the_pipeline(service: ServiceProcess) -> None:
    events = list(sse.events(post(service, "/pipeline_stream", text=f"Well {POISON}")))
    assert [event.event for event in events] == [None] * 3 + ["error"]
    last = json.loads(events[-1].data)
    assert (last["step"], last["status"]) == ("sentiment", "error")
    assert (last["error"]["code"], last["error"]["param"]) == ("stage_failed", "sentiment")
    assert last["usage"]["stages"] == 1
    assert run(service, "/pipeline_stream", text="Well")[-1]["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "$.text: required, but missing"),
        ({"text": ""}, "$.text: Expected `str` of length >= 1"),
        ({"text": " \n\t\u2003"}, "not only white space"),
        ({"text": "x" * 6_001}, "6001 characters > 6000 (limits.max_text_chars)"),
        ({"text": 3}, "$.text: Expected `str`, got `int`"),
        ({"text": "x", "steps": ["nope"]}, f"'nope' is unknown; there is: {', '.join(STEPS)}, "),
        ({"text": "x", "steps": "preprocessing,"}, "'' is unknown"),
        ({"text": "x", "steps": ["summary", "summary"]}, "'summary' stands there more than once"),
        ({"text": "x", "steps": []}, "$.steps: Expected `array` of length >= 1"),
        ({"text": "x", "steps": [3]}, "$.steps[0]: Expected `str`"),
        ({"text": "x", "stream_text": "yes"}, "$.stream_text: Expected `bool`"),
    ],
)
def test_bad_wishes_are_refused_with_their_limit(service: ServiceProcess, body: Any, message: str) -> None:
    error = refused(post(service, "/pipeline_stream", **body))
    assert message in error["message"]
    assert error["param"]


def test_steps_that_lack_their_input(service: ServiceProcess) -> None:
    error = refused(post(service, "/pipeline_stream", text="x", steps=["chunk_sentiment"]), 400)
    assert "reads chunks" in error["message"]


@pytest.mark.parametrize("path", ["/pipeline_stream", "/process-stream", "/process-batch", "/process_stream"])
def test_models_that_are_no_pipeline(service: ServiceProcess, path: str) -> None:
    body: Any = {"data": []} if path == "/process_stream" else {"text": TEXT}
    for model in ("echo", "nope"):
        error = refused(post(service, path, **body, model=model), 404)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "there is: pipeline" in error["message"]
    assert post(service, path, **body, model="pipeline").status_code == 200


def test_a_pipeline_brings_no_tasks(service: ServiceProcess) -> None:
    assert service.http.get("/tasks").json() == {"tasks": []}
    assert refused(post(service, "/tasks/preprocessing"), 404)["code"] == "task_not_found"


def test_without_any_pipeline(echo_service: ServiceProcess) -> None:
    error = refused(post(echo_service, "/pipeline_stream", text="x"), 404)
    assert error["code"] == "model_not_found"
    assert 'engine = "pipeline"' in error["message"]
