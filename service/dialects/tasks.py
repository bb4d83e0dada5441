"""`/tasks/{name}`: `start`, `item` and `progress`…, then `complete` or `error`."""

from msgspec import json

from service.dialects.dialect import Dialect, Out, encode
from service.errors import failure_object
from service.events import StreamEvent
from workers.messages import Accepted, Failed, Finished, Item, Progress


class TaskDialect(Dialect):
    """An item's data is the value that the task yielded, as it is.

    As plain text, a string stands as it is, any other value as a line of JSON.
    """

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case Item(value=value):
                return [Out(value, "item", as_text(value))]
            case Progress():
                return [self.progress(event)]
            case Accepted():
                return [Out(encode({"stream_id": self._stream_id}), "start")]
            case Finished():
                return [self.complete(event)]
            case Failed():
                body = {"error": failure_object(event), "items": event.usage.num_items}
                return [Out(encode(body), "error", f"\n[Error: {event.message}]\n")]
            case _:
                return []

    def progress(self, event: Progress) -> Out:
        share = round(event.done / event.total, 6) if event.total else 1.0
        return Out(encode({"done": event.done, "total": event.total, "progress": share}), "progress")

    def complete(self, end: Finished) -> Out:
        body = {"status": end.reason, "items": end.usage.num_items, "finish_reason": end.reason}
        text = "" if end.reason == "completed" else f"\n[Task ended: {end.reason}]\n"
        return Out(encode(body), "complete", text)


def as_text(value: bytes) -> str:
    """An item as plain text."""
    return json.decode(value, type=str) if value[:1] == b'"' else f"{value.decode()}\n"
