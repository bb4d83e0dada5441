"""`/process-stream`: a text's sections, each `…_processing` and then `…_complete` or `…_error`."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Raw, Struct, json

from service.dialects.dialect import Dialect, Out, encode
from service.dialects.fields import outputs_of, stage_usage
from service.errors import failure_object
from service.events import StreamEvent
from workers.messages import (
    Accepted,
    Failed,
    Finished,
    PipelineResult,
    StageFailed,
    StageProgress,
    StageResult,
    StageStarted,
    TextDelta,
)

# What this API calls the stages, and how each begins.
SECTIONS = {
    "chunking": "chunking",
    "chunk_sentiment": "sentiment",
    "summary": "summarization",
    "entities": "entities",
}
BEGINNINGS = {
    "chunking": ("chunking", "Splitting the text into chunks"),
    "chunk_sentiment": ("sentiment_processing", "Analysing the sentiment of each chunk"),
    "summary": ("summarization_processing", "Summarising the text"),
    "entities": ("entities_processing", "Finding names, dates and amounts"),
}


class Chunk(Struct):
    sentiment: str


class Entity(Struct):
    label: str


class ProcessDialect(Dialect):
    """Text between two stages' events belongs to the summary, the only section that is written."""

    def __init__(self, stream_id: str, text_length: int) -> None:
        self._stream_id = stream_id
        self._text_length = text_length
        self._began_at = datetime.now(UTC)

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case TextDelta(text=text) if text:
                return [Out(encode({"status": "summarization_progress", "text": text}), None, text)]
            case StageProgress():
                return [self.progress(event)]
            case StageStarted(stage=stage):
                return [_line(*BEGINNINGS[stage])]
            case StageResult():
                return [self.result(event)]
            case StageFailed():
                status = f"{SECTIONS[event.stage]}_error"
                body = {"status": status, "error": event.message}
                return [Out(encode(body), None, f"\n[{status}: {event.message}]\n")]
            case _:
                return self.edge(event)

    def edge(self, event: StreamEvent) -> list[Out]:
        """What comes first and last."""
        match event:
            case Accepted():
                return [self.started()]
            case PipelineResult():
                return [self.completed(event)]
            case Finished(reason=reason) if reason != "completed":
                usage = stage_usage(event.usage)
                return [_line(reason, f"Processing ended: {reason}", finish_reason=reason, usage=usage)]
            case Failed():
                error, usage = failure_object(event), stage_usage(event.usage)
                body = encode({"status": "error", "error": error, "usage": usage})
                return [Out(body, "error", f"\n[Error: {event.message}]\n")]
            case _:
                return []

    def started(self) -> Out:
        return _line(
            "started",
            "Processing started",
            timestamp=_iso(self._began_at),
            text_length=self._text_length,
            stream_id=self._stream_id,
        )

    def progress(self, event: StageProgress) -> Out:
        body = {
            "status": f"{SECTIONS[event.stage]}_progress",
            "progress": round(event.done / event.total, 6),
            "chunk_result": Raw(event.value),
        }
        return Out(encode(body), None, f"{event.value.decode()}\n")

    def result(self, event: StageResult) -> Out:
        match event.stage:
            case "chunking":
                return _chunked(event)
            case "chunk_sentiment":
                return _sentiment(event)
            case "summary":
                return self.summary(event)
            case _:
                return _entities(event)

    def summary(self, event: StageResult) -> Out:
        (value,) = outputs_of(event, 1)
        summary = json.decode(value, type=str)
        body = {
            "status": "summarization_complete",
            "summary": value,
            "compression_ratio": len(summary) / self._text_length,
        }
        return Out(encode(body), None, f"\nSummary: {summary}\n")

    def completed(self, event: PipelineResult) -> Out:
        """The ending of an undisturbed run. Its time is told from the beginning's, not from a clock."""
        return _line(
            "completed",
            f"Processing completed in {event.duration_s:.3f} s",
            total_processing_time=round(event.duration_s, 4),
            timestamp=_iso(self._began_at + timedelta(seconds=event.duration_s)),
            finish_reason="completed",
            usage=stage_usage(event.usage),
        )


def _line(status: str, message: str, **facts: Any) -> Out:
    return Out(encode({"status": status, "message": message} | facts), None, f"[{message}]\n")


def _chunked(event: StageResult) -> Out:
    (chunks,) = outputs_of(event, 1)
    count = len(json.decode(chunks, type=list[Raw]))
    return _line("chunked", f"Text split into {count} chunks", chunks=count)


def _sentiment(event: StageResult) -> Out:
    overall, confidence, chunks = outputs_of(event, 3)
    counts = Counter(chunk.sentiment for chunk in json.decode(chunks, type=list[Chunk]))
    body = {
        "status": "sentiment_complete",
        "overall_sentiment": overall,
        "overall_confidence": confidence,
        "chunk_sentiments": chunks,
        "positive_chunks": counts["POSITIVE"],
        "negative_chunks": counts["NEGATIVE"],
        "neutral_chunks": counts["NEUTRAL"],
    }
    return Out(encode(body), None, f"Sentiment: {json.decode(overall)} ({bytes(confidence).decode()})\n")


def _entities(event: StageResult) -> Out:
    (entities,) = outputs_of(event, 1)
    types = Counter(entity.label for entity in json.decode(entities, type=list[Entity]))
    body = {
        "status": "entities_complete",
        "entities": entities,
        "entity_types": types,
        "total_entities": types.total(),
    }
    return Out(encode(body), None, f"Entities: {bytes(entities).decode()}\n")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
