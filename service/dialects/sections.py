"""`/process-batch`: the sections of `/process-stream` in one object."""

from typing import Any

from msgspec import Raw, Struct, json

from service.dialects.dialect import encode
from service.dialects.fields import outputs_of, stage_usage
from service.events import StreamEvent
from workers.messages import Finished, StageFailed, StageResult, Usage

# The stages by the names that they have in the answer.
NAMES = {"chunking": "chunking", "chunk_sentiment": "sentiment", "summary": "summary", "entities": "entities"}


class Entity(Struct):
    """What of an entity this API tells."""

    text: str
    label: str


class Sections:
    """Gathers a stream's results. A section that was not asked for, or failed, is null."""

    def __init__(self) -> None:
        self._sections: dict[str, Any] = {"sentiment": None, "summary": None, "entities": None}
        self._errors: dict[str, str] = {}
        self._reason = ""
        self._usage = Usage()

    def take(self, event: StreamEvent) -> None:
        match event:
            case StageResult():
                self._keep(event)
            case StageFailed():
                self._errors[NAMES[event.stage]] = event.message
            case Finished():
                self._reason, self._usage = event.reason, event.usage

    def whole(self, duration_s: float) -> bytes:
        """The answer, also where the job was cut short: `finish_reason` says so."""
        body: dict[str, Any] = self._sections | {"processing_time": round(duration_s, 4)}
        if self._errors:
            body["errors"] = self._errors
        return encode(body | {"finish_reason": self._reason, "usage": stage_usage(self._usage)})

    def _keep(self, event: StageResult) -> None:
        match event.stage:
            case "chunk_sentiment":
                label, confidence = outputs_of(event, 2)
                self._sections["sentiment"] = {"label": label, "confidence": confidence}
            case "summary":
                (self._sections["summary"],) = outputs_of(event, 1)
            case "entities":
                (entities,) = outputs_of(event, 1)
                self._sections["entities"] = _decode(entities)


def _decode(entities: Raw) -> list[Entity]:
    return json.decode(entities, type=list[Entity])
