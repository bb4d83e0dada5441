"""Params of the project's own text routes."""

from typing import Annotated

from msgspec import Meta, Struct

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
    TopK,
    TopP,
    stop_list,
)
from service.params.wishes import SamplingWishes
from workers.messages import ChatMessage

Text = Annotated[str, Meta(min_length=1)]
SessionName = Annotated[str, Meta(min_length=1, max_length=128)]


class PromptParams(Struct):
    """`/stream_text`. `raw` continues the prompt as it stands instead of answering it as a chat."""

    prompt: Text
    model: ModelName | None = None
    raw: bool = False

    max_tokens: MaxTokens | None = None

    def sampling(self) -> SamplingWishes:
        return SamplingWishes(temperature=0.7)


class GenerateParams(PromptParams):
    """`/generate_stream` and `/generate-stream`."""

    max_tokens: MaxTokens | None = 100
    temperature: Temperature = 0.7
    top_p: TopP = 1.0
    top_k: TopK = 0
    min_p: MinP = 0.0
    seed: Seed | None = None
    stop: Stop = None
    ignore_eos: bool = False
    min_tokens: MinTokens = 0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: RepetitionPenalty = 1.0

    def sampling(self) -> SamplingWishes:
        return SamplingWishes(
            self.temperature,
            self.top_p,
            max(0, self.top_k),
            self.min_p,
            self.seed,
            stop_list(self.stop),
            self.ignore_eos,
            self.presence_penalty,
            self.frequency_penalty,
            self.repetition_penalty,
            min_tokens=self.min_tokens,
        )


class SafeParams(GenerateParams):
    """`/safe_stream`."""

    max_retries: Annotated[int, Meta(ge=0, le=10)] = 3


class ChatParams(Struct):
    """`/chat/stream`, `/chat/stream-simple` and the messages of chats over websockets.

    `system` is the system prompt, of the session too from now on; "" for none any more.
    """

    message: Text
    model: ModelName | None = None
    provider: ModelName = "local"
    max_tokens: MaxTokens | None = None
    temperature: Temperature = 0.7
    seed: Seed | None = None
    session_id: SessionName | None = None
    system: str | None = None

    def sampling(self) -> SamplingWishes:
        return SamplingWishes(temperature=self.temperature, seed=self.seed)

    def system_messages(self) -> list[ChatMessage]:
        """The system prompt, where one is given."""
        return [] if self.system is None else [ChatMessage("system", self.system)]
