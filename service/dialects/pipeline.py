"""`/pipeline_stream`: each step's `starting` and `completed`, then `pipeline_complete` or an error."""

from typing import Any

from service.dialects.dialect import Dialect, Out, encode
from service.dialects.fields import fields_object, lines, stage_usage
from service.errors import failure_object
from service.events import StreamEvent
from workers.messages import Failed, Finished, PipelineResult, StageResult, StageStarted, TextDelta

COMPLETE = "pipeline_complete"


class PipelineDialect(Dialect):
    """The first step's `starting` has the stream's id: an EventSource cannot read headers.

    A whole pipeline's terminal object is that of `PipelineResult`, which alone has the fields; the
    `Finished` that comes with it has nothing to add.
    """

    def __init__(self, stream_id: str, steps: list[str]) -> None:
        self._stream_id = stream_id
        self._steps = steps

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case TextDelta(text=text) if text:
                body = {"step": self._steps[event.index], "status": "generating", "text": text}
                return [Out(encode(body), None, text)]
            case StageStarted():
                return [self.starting(event)]
            case StageResult():
                return [self.completed(event)]
            case PipelineResult():
                return [self.whole(event)]
            case Finished():
                return [self.cut(event)] if event.reason != "completed" else []
            case Failed():
                return [self.error(event)]
            case _:
                return []

    def starting(self, event: StageStarted) -> Out:
        body: dict[str, Any] = {"step": event.stage, "status": "starting"}
        body["input"] = fields_object(event.inputs)
        if event.stage == self._steps[0]:
            body["stream_id"] = self._stream_id
        return Out(encode(body), None, f"[{event.stage}]\n")

    def completed(self, event: StageResult) -> Out:
        body = {
            "step": event.stage,
            "status": "completed",
            "result": fields_object(event.outputs),
            "accumulated_data": fields_object(event.fields),
        }
        return Out(encode(body), None, f"\n{lines(event.outputs)}\n")

    def whole(self, event: PipelineResult) -> Out:
        body = {
            "step": COMPLETE,
            "status": "completed",
            "final_result": fields_object(event.fields),
            "processing_time": round(event.duration_s, 4),
            "finish_reason": "completed",
            "usage": stage_usage(event.usage),
        }
        return Out(encode(body), None, f"[Pipeline complete: {event.duration_s:.3f} s]\n")

    def cut(self, end: Finished) -> Out:
        body = {
            "step": COMPLETE,
            "status": end.reason,
            "final_result": None,
            "finish_reason": end.reason,
            "usage": stage_usage(end.usage),
        }
        return Out(encode(body), None, f"\n[Pipeline ended: {end.reason}]\n")

    def error(self, failure: Failed) -> Out:
        """`step` is the stage that failed; null where it was none of them."""
        body = {
            "step": failure.param if failure.code == "stage_failed" else None,
            "status": "error",
            "error": failure_object(failure),
            "usage": stage_usage(failure.usage),
        }
        return Out(encode(body), "error", f"\n[Error: {failure.message}]\n")
