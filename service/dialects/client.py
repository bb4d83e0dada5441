"""`/ws/{client_id}`: `text`…, then one of `done`, `cancelled`, `error`."""

from service.dialects.dialect import Dialect, Out, encode, usage_object
from service.errors import failure_object
from service.events import StreamEvent, reason_of
from workers.messages import Failed, Finished, TextDelta


class ClientDialect(Dialect):
    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case TextDelta(text=text) if text:
                return [self._out("text", text, content=text)]
            case Finished(reason="cancelled"):
                return [self._out("cancelled", usage=usage_object(event.usage))]
            case Finished():
                reason = reason_of(event)
                return [self._out("done", finish_reason=reason, usage=usage_object(event.usage))]
            case Failed():
                usage = usage_object(event.usage)
                return [self._out("error", error=failure_object(event), usage=usage)]
            case _:
                return []

    def _out(self, kind: str, text: str = "", **fields: object) -> Out:
        return Out(encode({"type": kind, "stream_id": self._stream_id, **fields}), kind, text)
