"""`/process-stream` and `/process-batch` through a real service whose models are tiny."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.stages import TEXT, USAGE, lines, post, refused
from tests.pipeline_models import NAMES, POISON
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def service(pipeline_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A pipeline of tiny models, and an echo model."""
    yield pipeline_service
    pipeline_service.wait_ready()
    pipeline_service.check_serves()


def test_the_sections_of_a_text(service: ServiceProcess) -> None:
    answer = post(service, "/process-stream", text=TEXT, include_entities=True, chunk_size=50)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["X-Stream-Id"]
    told = lines(answer)
    chunks = told[2]["chunks"]
    assert [event["status"] for event in told] == [
        "started",
        "chunking",
        "chunked",
        "sentiment_processing",
        *["sentiment_progress"] * chunks,
        "sentiment_complete",
        "summarization_processing",
        "summarization_complete",
        "entities_processing",
        "entities_complete",
        "completed",
    ]
    assert told[0]["text_length"] == len(TEXT)
    assert told[-1]["finish_reason"] == "completed"
    assert set(told[-1]["usage"]) == USAGE
    assert told[0]["timestamp"] <= told[-1]["timestamp"]


def test_the_chunks_of_a_text(service: ServiceProcess) -> None:
    told = lines(post(service, "/process-stream", text=TEXT, chunk_size=50))
    chunks = [event["chunk_result"] for event in told if event["status"] == "sentiment_progress"]
    assert all(0 < len(chunk["chunk"]) <= 50 for chunk in chunks)
    assert " ".join(chunk["chunk"] for chunk in chunks) == TEXT
    shares = [event["progress"] for event in told if event["status"] == "sentiment_progress"]
    assert shares == [round((place + 1) / len(chunks), 6) for place in range(len(chunks))]
    (whole,) = [event for event in told if event["status"] == "sentiment_complete"]
    assert whole["chunk_sentiments"] == chunks
    counts = Counter(chunk["sentiment"] for chunk in chunks)
    assert whole["positive_chunks"] == counts["POSITIVE"]
    assert whole["negative_chunks"] == counts["NEGATIVE"]
    assert whole["neutral_chunks"] == counts["NEUTRAL"]
    assert whole["overall_sentiment"] in ("NEGATIVE", "NEUTRAL", "POSITIVE")


def test_the_entities_stand_where_they_say(service: ServiceProcess) -> None:
    """Offsets are code points of the request's own text, whatever white space it has."""
    text = "🦊  🏮\n\n\tAnna Schmidt was in Köln\u2003on Monday.  "
    told = lines(post(service, "/process-stream", text=text, include_entities=True))
    (found,) = [event for event in told if event["status"] == "entities_complete"]
    assert {entity["label"]: entity["text"] for entity in found["entities"]} == NAMES
    for entity in found["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"]
        assert entity["description"]
    assert found["entity_types"] == {"PERSON": 1, "GPE": 1, "DATE": 1}
    assert found["total_entities"] == 3


def test_sections_that_were_not_asked_for(service: ServiceProcess) -> None:
    told = lines(post(service, "/process-stream", text=TEXT, include_sentiment=False, include_summary=False))
    assert [event["status"] for event in told] == ["started", "chunking", "chunked", "completed"]
    short = lines(post(service, "/process-stream", text="x" * 100))
    assert not [event for event in short if event["status"].startswith("summarization")]
    assert [event for event in lines(post(service, "/process-stream", text="x" * 101)) if "summary" in event]


def test_a_section_that_fails_leaves_the_others(service: ServiceProcess) -> None:
    told = lines(post(service, "/process-stream", text=TEXT + POISON, include_entities=True))
    statuses = [event["status"] for event in told]
    assert "sentiment_error" in statuses
    assert {"summarization_complete", "entities_complete", "completed"} <= set(statuses)
    assert next(event["error"] for event in told if event["status"] == "sentiment_error")
    batch = post(service, "/process-batch", text=TEXT + POISON).json()
    assert batch["sentiment"] is None
    assert batch["summary"]
    assert list(batch["errors"]) == ["sentiment"]


@pytest.mark.parametrize("path", ["/process-stream", "/process-batch"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"text": "🦊" * 9}, f'$.text: Expected `str` of length >= 10, not "{"🦊" * 9}"'),
        ({"text": "🦊" * 5_001}, "$.text: Expected `str` of length <= 5000"),
        ({"text": "🦊" * 5_001}, "(5001 characters)"),
        ({"text": " " * 20}, "not only white space"),
        ({"text": "x" * 10, "chunk_size": 49}, "$.chunk_size: Expected `int` >= 50, not 49"),
        ({"text": "x" * 10, "chunk_size": 501}, "$.chunk_size: Expected `int` <= 500, not 501"),
        ({"text": "x" * 10, "chunk_size": 1.5}, "$.chunk_size: Expected `int`, got `float`, not 1.5"),
        ({"text": "x" * 10, "chunk_size": "3"}, "$.chunk_size: Expected `int`, got `str`"),
        ({"text": "x" * 10, "chunk_size": True}, "$.chunk_size: Expected `int`, got `bool`, not true"),
        ({"text": "x" * 10, "include_summary": 1}, "$.include_summary: Expected `bool`"),
    ],
)
def test_limits_of_a_text(service: ServiceProcess, path: str, body: Any, message: str) -> None:
    assert message in refused(post(service, path, **body))["message"]


@pytest.mark.parametrize(
    "text",
    [
        "🦊" * 10,
        "🦊 " * 2_500,
        "x" * 5_000,
        "مرحبا بالعالم من كولونيا.",
        "a\x00b\x01\x1b[31m\u202e\u200b c d",
    ],
    ids=["shortest", "longest", "one word", "right to left", "controls"],
)
@pytest.mark.parametrize("chunk_size", [50, 500])
def test_texts_at_the_limits_are_served(service: ServiceProcess, text: str, chunk_size: int) -> None:
    body: Any = {"text": text, "chunk_size": chunk_size, "include_entities": True}
    told = lines(post(service, "/process-stream", **body))
    assert told[-1]["status"] == "completed"
    assert not [event for event in told if event["status"].endswith("_error")]


def test_a_batch_says_what_the_stream_says(service: ServiceProcess) -> None:
    body: Any = {"text": TEXT, "include_entities": True, "chunk_size": 50}
    told = {event["status"]: event for event in lines(post(service, "/process-stream", **body))}
    batch = post(service, "/process-batch", **body).json()
    sentiment, entities = told["sentiment_complete"], told["entities_complete"]["entities"]
    assert batch["sentiment"] == {
        "label": sentiment["overall_sentiment"],
        "confidence": sentiment["overall_confidence"],
    }
    assert batch["summary"] == told["summarization_complete"]["summary"]
    assert batch["entities"] == [{"text": entity["text"], "label": entity["label"]} for entity in entities]
    assert batch["processing_time"] > 0
    assert batch["finish_reason"] == "completed"
    assert "errors" not in batch
    bare = post(service, "/process-batch", text=TEXT, include_sentiment=False, include_summary=False).json()
    assert (bare["sentiment"], bare["summary"], bare["entities"]) == (None, None, None)
