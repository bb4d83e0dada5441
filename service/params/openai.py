"""Params of the OpenAI API. Unknown fields are ignored; known ones are checked, also unused ones."""

import re
from typing import Annotated

from msgspec import Meta, Struct, structs

from service.errors import BadParams
from service.params.fields import (
    MaxTokens,
    MinP,
    MinTokens,
    ModelName,
    Penalty,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TokenId,
    TopK,
    TopP,
    stop_list,
)
from service.params.tools import CalledTool, Choice, ResponseFormat, Tool, wished_form, wished_tools
from service.params.wishes import SamplingWishes
from workers.messages import ChatMessage, ChatPrompt, Form, Prompt, TextPrompt, TokenBias, TokenPrompt

# As in vLLM, the lower the earlier.
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
TopLogprobs = Annotated[int, Meta(ge=0, le=20)]
TOKEN_ID = re.compile(r"\d{1,9}", re.ASCII)
LogitBias = Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1_024)]


class StreamOptions(Struct):
    """`continuous_usage_stats` asks for counts so far in every chunk of text, where usage is included."""

    include_usage: bool = False
    continuous_usage_stats: bool = False


class CommonParams(Struct, kw_only=True):
    """What chat and text completions share."""

    model: ModelName | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: Stop = None
    seed: Seed | None = None
    ignore_eos: bool | None = None
    min_tokens: MinTokens | None = None
    priority: Priority | None = None
    stop_token_ids: Annotated[list[TokenId], Meta(max_length=128)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    logit_bias: LogitBias | None = None

    def sampling(self) -> SamplingWishes:
        return SamplingWishes(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p or 1.0,
            top_k=max(0, self.top_k or 0),
            min_p=self.min_p or 0.0,
            seed=self.seed,
            stop=stop_list(self.stop),
            ignore_eos=bool(self.ignore_eos),
            min_tokens=self.min_tokens or 0,
            stop_token_ids=self.stop_token_ids or [],
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=self.repetition_penalty or 1.0,
            logit_bias=[TokenBias(_token_id(key), bias) for key, bias in (self.logit_bias or {}).items()],
        )

    def check(self) -> None:
        """Refuse what this service cannot do yet, rather than answer as if it had not been asked."""
        if self.stream_options and not self.stream:
            raise BadParams(
                "$.stream_options: only allowed with stream = true", param="stream_options", status=400
            )

    @property
    def has_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def has_running_usage(self) -> bool:
        return bool(self.has_usage and self.stream_options and self.stream_options.continuous_usage_stats)


class TextPart(Struct):
    type: Annotated[str, Meta(pattern="^text$")]
    text: str


class Message(Struct):
    # A pattern rather than a Literal: its error names what is accepted.
    role: Annotated[str, Meta(pattern="^(system|developer|user|assistant|tool)$")]
    content: str | list[TextPart] | None = None
    tool_calls: Annotated[list[CalledTool], Meta(max_length=128)] | None = None
    tool_call_id: Annotated[str, Meta(max_length=256)] | None = None

    def chat_message(self) -> ChatMessage:
        parts = self.content or ""
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        role = "system" if self.role == "developer" else self.role
        calls = tuple(call.tool_call() for call in self.tool_calls or [])
        return ChatMessage(role, text, calls, self.tool_call_id)


class ChatCompletionParams(CommonParams, kw_only=True):
    """`/v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: Choice | None = None
    response_format: ResponseFormat | None = None

    def sampling(self) -> SamplingWishes:
        top_logprobs = (self.top_logprobs or 0) if self.logprobs else None
        return structs.replace(super().sampling(), top_logprobs=top_logprobs)

    def check(self) -> None:
        super().check()
        if self.top_logprobs and not self.logprobs:
            message = "$.top_logprobs: only allowed with logprobs = true"
            raise BadParams(message, param="top_logprobs", status=400)
        if self.form and (self.min_tokens or self.ignore_eos):
            message = (
                "$.response_format: an answer of a given form ends where that ends; leave out min_tokens"
            )
            raise BadParams(f"{message} and ignore_eos", param="response_format", status=400)

    @property
    def form(self) -> Form | None:
        """What the answer has to be. Raises BadParams."""
        return wished_form(self.tool_choice, self.response_format)

    def chat_prompt(self) -> ChatPrompt:
        """Raises BadParams."""
        messages = [message.chat_message() for message in self.messages]
        return ChatPrompt(messages, tools=wished_tools(self.tools, self.tool_choice))


Text = Annotated[str, Meta(min_length=1)]
Ids = Annotated[list[TokenId], Meta(min_length=1)]


class CompletionParams(CommonParams, kw_only=True):
    """`/v1/completions`: a text, several, or the same as token ids. `max_tokens` 0 is for echoed prompts."""

    max_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    prompt: Text | Annotated[list[Text | TokenId | Ids], Meta(min_length=1)]
    echo: bool | None = None
    suffix: str | None = None
    logprobs: TopLogprobs | None = None
    best_of: int | None = None

    def sampling(self) -> SamplingWishes:
        return structs.replace(super().sampling(), top_logprobs=self.logprobs, echo=bool(self.echo))

    def check(self) -> None:
        super().check()
        if self.suffix:
            raise BadParams("$.suffix: not supported by this service", param="suffix", status=400)
        if self.max_tokens == 0 and not self.echo:
            message = "$.max_tokens: expected `int` >= 1, not 0; with echo the prompt alone may be the answer"
            raise BadParams(message, param="max_tokens", status=400)
        if self.best_of not in (None, 1, self.n):
            raise BadParams(f"$.best_of: {self.best_of} not supported; send 1", param="best_of", status=400)

    def prompts(self) -> list[Prompt]:
        """The prompts one by one. Raises BadParams when texts and ids are mixed."""
        if isinstance(self.prompt, str):
            return [TextPrompt(self.prompt)]
        kinds = {type(item) for item in self.prompt}
        if len(kinds) > 1:
            message = "$.prompt: expected a text, texts, token ids or lists of them, not a mixture"
            raise BadParams(message, param="prompt", status=400)
        if kinds == {int}:
            return [TokenPrompt([item for item in self.prompt if isinstance(item, int)])]
        return [
            TextPrompt(item) if isinstance(item, str) else TokenPrompt(_ids(item)) for item in self.prompt
        ]


def _token_id(key: str) -> int:
    if not TOKEN_ID.fullmatch(key):
        message = f"$.logit_bias: expected token ids as keys, not {key[:60]!r}"
        raise BadParams(message, param="logit_bias", status=400)
    return int(key)


def _ids(item: int | list[int]) -> list[int]:
    return [item] if isinstance(item, int) else item
