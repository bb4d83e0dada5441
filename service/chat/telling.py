"""One answer as one member of a chat session is told of it."""

from service.chat.messages import AiTyping, Broken, Complete, Message, Partial
from service.dialects.dialect import usage_object
from service.errors import failure_object
from service.events import StreamEvent
from workers.messages import Accepted, Failed, Finished, TextDelta


class Telling:
    """Keeps what was told so far: each part is sent with all before it."""

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id
        self._content = ""

    def words_for(self, event: StreamEvent) -> Message | None:
        match event:
            case Accepted():
                return AiTyping(self._stream_id)
            case TextDelta(text=text) if text:
                self._content += text
                return Partial(self._stream_id, self._content, text)
            case Finished(reason=reason, usage=usage):
                return Complete(self._stream_id, self._content, reason, usage_object(usage))
            case Failed(usage=usage):
                error = failure_object(event)
                return Broken(self._stream_id, self._content, error, usage_object(usage))
            case _:
                return None
