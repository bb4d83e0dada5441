"""`/process_stream`: a list's progress, chunk by chunk, then all results and the totals."""

from typing import Any

from msgspec import Raw

from service.dialects.dialect import Dialect, Out, encode
from service.dialects.fields import outputs_of, stage_usage
from service.errors import failure_object
from service.events import StreamEvent
from workers.messages import Failed, Finished, StageProgress, StageResult, Usage


class ItemsDialect(Dialect):
    """The worker counts chunks, this API items. The stage's result is the terminal object."""

    def __init__(self, num_items: int, chunk_size: int) -> None:
        self._num_items = num_items
        self._chunk_size = chunk_size

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case StageProgress():
                return [self.progress(event)]
            case StageResult():
                return [self.complete(event)]
            case Finished(reason=reason) if reason != "completed":
                body = {"type": reason, "finish_reason": reason, "usage": stage_usage(event.usage)}
                return [Out(encode(body), None, f"[Processing ended: {reason}]\n")]
            case Failed():
                error, usage = failure_object(event), stage_usage(event.usage)
                body = {"type": "error", "error": error, "usage": usage}
                return [Out(encode(body), "error", f"[Error: {event.message}]\n")]
            case _:
                return []

    def progress(self, event: StageProgress) -> Out:
        processed = min(event.done * self._chunk_size, self._num_items)
        body = self._counts("progress", processed) | {"chunk_results": Raw(event.value)}
        return Out(encode(body), None, f"{processed} of {self._num_items}: {event.value.decode()}\n")

    def complete(self, event: StageResult) -> Out:
        results, summary = outputs_of(event, 2)
        body = self._counts("complete", self._num_items) | {
            "all_results": results,
            "summary": summary,
            "finish_reason": "completed",
            "usage": stage_usage(Usage(num_items=1)),
        }
        return Out(encode(body), None, f"[{self._num_items} items: {bytes(summary).decode()}]\n")

    def _counts(self, kind: str, processed: int) -> dict[str, Any]:
        share = round(processed / self._num_items, 6) if self._num_items else 1.0
        return {"type": kind, "processed": processed, "total": self._num_items, "progress": share}
