"""Summaries and translations as they are written, through a real service whose models are tiny."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import sse
from tests.contract.stages import NDJSON, PLAIN, RESUMABLE, SSE, TEXT, lines, post, refused, run
from tests.service_process import ServiceProcess

WRITTEN = {"summary": "summary", "translation": "translated_text"}
LONG = " ".join([TEXT] * 12)


@pytest.fixture(scope="module")
def service(pipeline_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A pipeline of tiny models, and an echo model."""
    yield pipeline_service
    pipeline_service.wait_ready()
    pipeline_service.check_serves()


@pytest.mark.parametrize("text", [TEXT, LONG], ids=["one part", "many parts"])
def test_what_is_written_comes_while_it_is_written(service: ServiceProcess, text: str) -> None:
    told = run(service, "/pipeline_stream", text=text, steps=list(WRITTEN), stream_text=True)
    for step, field in WRITTEN.items():
        own = [event for event in told if event["step"] == step]
        assert [event["status"] for event in own] == [
            "starting",
            *["generating"] * (len(own) - 2),
            "completed",
        ]
        assert len(own) > 4
        written = "".join(event["text"] for event in own[1:-1])
        assert written == own[-1]["result"][field] == told[-1]["final_result"][field]
    assert told[-1]["usage"]["completion_tokens"] >= len(told) - 5


def test_without_being_asked_it_comes_whole(service: ServiceProcess) -> None:
    told = run(service, "/pipeline_stream", text=TEXT, steps=list(WRITTEN))
    assert {event["status"] for event in told} == {"starting", "completed"}
    streamed = run(service, "/pipeline_stream", text=TEXT, steps=list(WRITTEN), stream_text=True)
    assert streamed[-1]["final_result"] == told[-1]["final_result"]
    assert streamed[-1]["usage"] == told[-1]["usage"]


def test_what_is_written_stands_in_plain_text(service: ServiceProcess) -> None:
    text = post(service, "/pipeline_stream", PLAIN, text=TEXT, steps=["summary"], stream_text=True).text
    (*_, last) = run(service, "/pipeline_stream", text=TEXT, steps=["summary"])
    assert text.startswith(f"[summary]\n{last['final_result']['summary']}")


def test_a_query_asks_for_it_too(service: ServiceProcess) -> None:
    query = {"text": TEXT, "steps": "summary", "stream_text": "true", "target_language": "de"}
    told = sse.objects(service.http.get("/pipeline_stream", params=query).content)
    assert "generating" in {event["status"] for event in told}


def test_the_summary_of_a_process_stream_as_it_is_written(service: ServiceProcess) -> None:
    told = lines(post(service, "/process-stream", text=LONG, stream_text=True))
    statuses = [event["status"] for event in told]
    place = statuses.index("summarization_processing")
    num_told = statuses.count("summarization_progress")
    assert num_told > 4
    assert statuses[place + 1 : place + 1 + num_told] == ["summarization_progress"] * num_told
    whole = told[place + 1 + num_told]
    written = "".join(event["text"] for event in told if event["status"] == "summarization_progress")
    assert written == whole["summary"]
    assert whole["compression_ratio"] == len(whole["summary"]) / len(LONG)


def test_reading_again_amid_what_is_written(service: ServiceProcess) -> None:
    body: Any = {"text": LONG, "steps": ["translation"], "stream_text": True}
    answer = post(service, "/pipeline_stream", SSE | RESUMABLE, **body)
    events = list(sse.events(answer))
    for seq in range(0, len(events), 7):
        path = f"/streams/{answer.headers['X-Stream-Id']}"
        again = service.http.get(path, headers={"Last-Event-ID": str(seq)})
        assert [event.data for event in sse.events(again)] == [event.data for event in events[seq:]]


@pytest.mark.parametrize(
    ("path", "kind"), [("/pipeline_stream", "generating"), ("/process-stream", "summarization_progress")]
)
def test_cancelled_while_it_writes(service: ServiceProcess, path: str, kind: str) -> None:
    """The worker is free at once: no further text, no job left, and the next request is served."""
    body = {"text": (TEXT * 60)[:5_000], "stream_text": True}
    before = service.metrics()["ended"].get("cancelled", 0)
    with service.http.stream("POST", path, json=body, headers=NDJSON) as answer:
        told = map(json.loads, answer.iter_lines())
        for event in told:
            if event["status"] == kind:
                break
        assert service.http.delete(f"/streams/{answer.headers['X-Stream-Id']}").status_code == 200
        *_, last = told
    assert (last["status"], last["finish_reason"]) == ("cancelled", "cancelled")
    assert last["usage"]["completion_tokens"] > 0
    service.wait_idle()
    assert service.metrics()["ended"]["cancelled"] == before + 1
    assert run(service, "/pipeline_stream", text=TEXT)[-1]["status"] == "completed"


def test_the_language_is_the_requests(service: ServiceProcess) -> None:
    def translated(**wishes: Any) -> str:
        (*_, last) = run(service, "/pipeline_stream", text=TEXT, steps=["translation"], **wishes)
        text: str = last["final_result"]["translated_text"]
        return text

    assert translated() == translated(target_language="de") != translated(target_language="fr")


def test_languages_that_the_model_does_not_write(service: ServiceProcess) -> None:
    error = refused(post(service, "/pipeline_stream", text=TEXT, target_language="ja"), 400)
    assert (error["code"], error["param"]) == ("bad_params", "target_language")
    assert "'ja' is not what the model writes: de, fr" in error["message"]
    for value in ("", "x" * 65, 3):
        assert refused(post(service, "/pipeline_stream", text=TEXT, target_language=value))["param"]
    # Where nothing is translated there is nothing to refuse.
    told = run(service, "/pipeline_stream", text=TEXT, steps=["summary"], target_language="ja")
    assert told[-1]["status"] == "completed"


def test_tokens_are_counted(service: ServiceProcess) -> None:
    for stream_text in (False, True):
        before = service.metrics()["tokens"].get("pipeline", 0)
        (*_, last) = run(service, "/pipeline_stream", text=TEXT, steps=["summary"], stream_text=stream_text)
        made = last["usage"]["completion_tokens"]
        assert 0 < made <= 12
        assert last["usage"]["total_tokens"] == made
        assert service.metrics()["tokens"]["pipeline"] == before + made
