"""`/buffered_stream`: a feed's items, `timeout` when there are none, and one `complete` at the end."""

from service.dialects.dialect import Dialect, Out, encode, usage_object
from service.dialects.native import failure_out
from service.events import Silence, StreamEvent
from workers.messages import Failed, Finished, Item


class FeedDialect(Dialect):
    """As plain text each item is a line of JSON."""

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case Item(value=value):
                return [Out(value, None, f"{value.decode()}\n")]
            case Silence():
                return [self.silence(event)]
            case Finished():
                return [self.complete(event)]
            case Failed():
                return [failure_out(event)]
            case _:
                return []

    def silence(self, event: Silence) -> Out:
        message = f"no item for {event.duration_s:g} s"
        body = {"status": "timeout", "message": message, "duration": event.duration_s}
        return Out(encode(body), "timeout", f"[{message}]\n")

    def complete(self, end: Finished) -> Out:
        usage = usage_object(end.usage) | {"items": end.usage.num_items}
        body = {"status": end.reason, "finish_reason": end.reason, "usage": usage}
        return Out(encode(body), "complete", f"[Feed ended: {end.reason}]\n")
