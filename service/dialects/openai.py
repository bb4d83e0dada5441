"""The OpenAI API: chunks of `/v1/chat/completions` and `/v1/completions`, and their whole answers."""

import secrets
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import Struct

from service.collect import Choice
from service.dialects.dialect import Dialect, Out, encode, usage_object
from service.dialects.logprobs import chat_logprobs, completion_logprobs
from service.dialects.tool_calls import call_deltas, whole_calls
from service.errors import failure_object
from service.events import StreamEvent
from service.job import Job
from service.params.openai import CommonParams
from workers.messages import (
    Accepted,
    ChoiceFinished,
    Failed,
    Finished,
    TextDelta,
    TextWork,
    TokenLogprob,
    Usage,
)

DONE = Out(b"[DONE]", is_json=False)


class Facts(Struct, frozen=True):
    """What is the same in every object of one answer."""

    id: str
    model: str
    num_choices: int
    has_usage: bool = False
    has_logprobs: bool = False
    has_running_usage: bool = False


def facts_of(prefix: str, params: CommonParams, job: Job) -> Facts:
    """Of a new answer, whose id begins with `prefix`."""
    has_logprobs = isinstance(job.work, TextWork) and job.work.sampling.top_logprobs is not None
    id_ = f"{prefix}-{secrets.token_hex(12)}"
    num_choices, has_running_usage = job.work.num_choices, params.has_running_usage
    return Facts(id_, job.model, num_choices, params.has_usage, has_logprobs, has_running_usage)


class OpenAIDialect(Dialect):
    """Chunk order per choice: opening, deltas, an empty delta with `finish_reason`; then usage, `[DONE]`.

    A reason the API has no word for (`deadline`, `drained`…) is sent as it is: official clients
    pass it on, and hiding it would make a cut answer look whole. Running usage counts the prompt, which
    the first event tells, and of the answers the chunk's own.
    """

    object_name: ClassVar[str]
    whole_name: ClassVar[str]

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.created = int(time.time())
        # Only the delta differs from chunk to chunk, so only the delta is encoded for each.
        head = encode(self._head(self.object_name))[:-1]
        self._opening = head + b',"choices":['
        self._closing = b"]" + (b',"usage":null' if facts.has_usage else b"") + b"}"
        self._prompt_tokens = 0

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case TextDelta():
                has_news = event.text or event.logprobs or event.tool_calls
                return [self._chunk(self.delta(event), event.text, event.num_tokens)] if has_news else []
            case Accepted():
                self._prompt_tokens = event.prompt_tokens
                return [self._chunk(body, "", 0) for body in self.openings()]
            case ChoiceFinished():
                return [self._chunk(self.last(event.index, event.reason))]
            case Finished():
                return self._end(event)
            case Failed():
                body = {"error": failure_object(event), "usage": usage_object(event.usage)}
                return [Out(encode(body)), DONE]
            case _:
                return []

    def openings(self) -> list[bytes]:
        """The chunks that open the choices; none where the API has none."""
        return []

    @abstractmethod
    def delta(self, delta: TextDelta) -> bytes:
        """The choice object of one text delta."""

    @abstractmethod
    def last(self, index: int, reason: str) -> bytes:
        """The choice object that closes a choice."""

    @abstractmethod
    def whole_choice(self, index: int, choice: Choice) -> dict[str, Any]:
        """The choice object of an answer that is not streamed; its logprobs are filled in by `whole`."""

    @abstractmethod
    def logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        """What a choice object says under `logprobs`, where they were asked for."""

    def whole(self, choices: Sequence[Choice], usage: Usage) -> bytes:
        """The answer in one object."""
        bodies = [self.whole_choice(i, choice) for i, choice in enumerate(choices)]
        if self.facts.has_logprobs:
            for body, choice in zip(bodies, choices, strict=True):
                body["logprobs"] = self.logprobs(choice.logprobs)
        return encode(self._head(self.whole_name) | {"choices": bodies, "usage": usage_object(usage)})

    def _logprobs(self, delta: TextDelta) -> bytes:
        return encode(self.logprobs(delta.logprobs)) if delta.logprobs else b"null"

    def _end(self, end: Finished) -> list[Out]:
        outs = [self._chunk(self.last(index, end.reason)) for index in end.ended]
        if self.facts.has_usage:
            body = self._head(self.object_name) | {"choices": [], "usage": usage_object(end.usage)}
            outs.append(Out(encode(body)))
        return [*outs, DONE]

    def _chunk(self, choice: bytes, text: str = "", num_tokens: int | None = None) -> Out:
        closing = self._closing
        if self.facts.has_running_usage and num_tokens is not None:
            closing = b'],"usage":' + encode(usage_object(Usage(self._prompt_tokens, num_tokens))) + b"}"
        return Out(self._opening + choice + closing, None, text)

    def _head(self, object_name: str) -> dict[str, Any]:
        facts = self.facts
        return {"id": facts.id, "object": object_name, "created": self.created, "model": facts.model}


class ChatCompletionsDialect(OpenAIDialect):
    object_name = "chat.completion.chunk"
    whole_name = "chat.completion"

    def openings(self) -> list[bytes]:
        return [
            encode(
                {
                    "index": i,
                    "delta": {"role": "assistant", "content": ""},
                    "logprobs": None,
                    "finish_reason": None,
                }
            )
            for i in range(self.facts.num_choices)
        ]

    def delta(self, delta: TextDelta) -> bytes:
        body = b'{"content":%b}' % encode(delta.text)
        if delta.tool_calls:
            content = {"content": delta.text} if delta.text else {}
            body = encode(content | {"tool_calls": call_deltas(delta.tool_calls)})
        return b'{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":null}' % (
            delta.index,
            body,
            self._logprobs(delta),
        )

    def last(self, index: int, reason: str) -> bytes:
        return encode({"index": index, "delta": {}, "logprobs": None, "finish_reason": reason})

    def whole_choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None}
        if choice.tool_calls:
            message |= {"content": choice.text or None, "tool_calls": whole_calls(choice.tool_calls)}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": choice.reason}

    def logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        return chat_logprobs(tokens)


class CompletionsDialect(OpenAIDialect):
    object_name = "text_completion"
    whole_name = "text_completion"

    def delta(self, delta: TextDelta) -> bytes:
        text = encode(delta.text)
        logprobs = self._logprobs(delta)
        return b'{"index":%d,"text":%b,"logprobs":%b,"finish_reason":null}' % (delta.index, text, logprobs)

    def last(self, index: int, reason: str) -> bytes:
        return encode(self.whole_choice(index, Choice("", reason)))

    def whole_choice(self, index: int, choice: Choice) -> dict[str, Any]:
        return {"index": index, "text": choice.text, "logprobs": None, "finish_reason": choice.reason}

    def logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        return completion_logprobs(tokens)
