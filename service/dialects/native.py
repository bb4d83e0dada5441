"""The project's own streaming routes: tokens one by one, then one closing object."""

from msgspec import Struct

from service.dialects.dialect import Dialect, Out, encode, usage_object
from service.errors import failure_object
from service.events import Retrying, StreamEvent, reason_of
from workers.messages import Accepted, Failed, Finished, TextDelta

# An answer that ended for one of these is all that there is.
WHOLE = frozenset(("stop", "length", "tool_calls", "completed"))


class Token(Struct):
    token: str
    token_id: int | None
    generated_tokens: int
    is_complete: bool = False


def failure_out(failure: Failed) -> Out:
    """`event: error` with the error object, and the usage so far."""
    body = {"error": failure_object(failure), "usage": usage_object(failure.usage)}
    return Out(encode(body), "error", f"\n\n[Error: {failure.message}]")


def closing_text(end: Finished, whole: str = "") -> str:
    """What plain text says of an ending: `whole`, or that it is cut, which nothing else would tell."""
    return whole if end.reason in WHOLE else f"\n\n[Generation ended: {end.reason}]"


class GenerateDialect(Dialect):
    """`/generate_stream`: `start`, `token`…, `complete`."""

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case TextDelta():
                return [self.token(event)] if event.text else []
            case Accepted():
                return [self.start()]
            case Finished():
                return [self.complete(event)]
            case Failed():
                return [failure_out(event)]
            case Retrying():
                return [self.retry(event)]
            case _:
                return []

    def start(self) -> Out:
        return Out(encode({"message": "Starting generation", "stream_id": self._stream_id}), "start")

    def token(self, delta: TextDelta) -> Out:
        token_id = delta.token_ids[-1] if delta.token_ids else None
        return Out(encode(Token(delta.text, token_id, delta.num_tokens)), "token", delta.text)

    def complete(self, end: Finished) -> Out:
        body = {
            "token": "",
            "token_id": None,
            "generated_tokens": end.usage.completion_tokens,
            "is_complete": True,
            "finish_reason": reason_of(end),
            "usage": usage_object(end.usage),
        }
        return Out(encode(body), "complete", closing_text(end))

    def retry(self, event: Retrying) -> Out:
        body = {
            "type": "retry",
            "attempt": event.attempt,
            "max_retries": event.max_retries,
            "error": event.error,
        }
        return Out(encode(body), "retry")


class SafeDialect(GenerateDialect):
    """`/safe_stream`: the same objects as plain `data:`; errors are objects with a `type`."""

    def render(self, event: StreamEvent) -> list[Out]:
        if isinstance(event, Failed):
            return [self.error(event)]
        return [out._replace(event=None) for out in super().render(event)]

    def error(self, failure: Failed) -> Out:
        body = {
            "type": "error",
            "error": failure.message,
            "error_type": failure.code,
            "usage": usage_object(failure.usage),
        }
        return Out(encode(body), None, failure_out(failure).text)


class PlainDialect(GenerateDialect):
    """`/generate-stream`: a page of text, with the prompt above and the ending below."""

    def __init__(self, stream_id: str, prompt: str) -> None:
        super().__init__(stream_id)
        self._prompt = prompt

    def start(self) -> Out:
        return super().start()._replace(text=f"Prompt: {self._prompt}\n\nGenerated text: ")

    def complete(self, end: Finished) -> Out:
        return super().complete(end)._replace(text=closing_text(end, "\n\n[Generation complete]"))


class StreamTextDialect(Dialect):
    """`/stream_text`: `{"token"}` objects, then `{"done": true}` with reason and usage."""

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case TextDelta(text=text) if text:
                return [Out(encode({"token": text}), None, text)]
            case Finished():
                return [self.done(event)]
            case Failed():
                return [failure_out(event)]
            case _:
                return []

    def done(self, end: Finished) -> Out:
        body = {"done": True, "finish_reason": reason_of(end), "usage": usage_object(end.usage)}
        return Out(encode(body), None, closing_text(end))


class ChatDialect(Dialect):
    """`/chat/stream`: `start`, `message`…, then one of `done`, `cancelled`, `error`."""

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case Accepted():
                return [Out(encode({"stream_id": self._stream_id}), "start")]
            case TextDelta(text=text) if text:
                return [Out(encode({"text": text}), "message", text)]
            case Finished():
                return [self.done(event)]
            case Failed():
                return [failure_out(event)]
            case _:
                return []

    def done(self, end: Finished) -> Out:
        if end.reason == "cancelled":
            return Out(b"Stream cancelled", "cancelled", closing_text(end), is_json=False)
        body = {"status": "complete", "finish_reason": end.reason, "usage": usage_object(end.usage)}
        return Out(encode(body), "done", closing_text(end))
