"""An upstream that speaks the OpenAI API, through the official `openai` client."""

from collections.abc import AsyncGenerator
from typing import Any

import openai

from config.settings import ProviderSettings
from service.providers.provider import BROKEN_OFF, Piece, Provider, job_error_code
from workers.errors import JobError
from workers.messages import ChatMessage, Sampling, Usage


class OpenAIProvider(Provider):
    def __init__(self, settings: ProviderSettings) -> None:
        # Retrying is the caller's to decide: he sees what was sent.
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url, api_key=settings.api_key or "none", max_retries=0
        )

    async def answer(
        self, model: str, messages: list[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        try:
            async for piece in self._pieces(model, messages, sampling):
                yield piece
        except openai.APIStatusError as error:
            raise JobError(job_error_code(error.status_code), f"upstream: {error.message}") from error
        except openai.APIError as error:
            raise JobError("upstream_failed", f"upstream: {error.message}") from error

    async def close(self) -> None:
        await self._client.close()

    async def _pieces(
        self, model: str, messages: list[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        conversation: Any = [{"role": message.role, "content": message.content} for message in messages]
        stream = await self._client.chat.completions.create(
            model=model,
            messages=conversation,
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            stream=True,
            stream_options={"include_usage": True},
        )
        reason, usage = None, None
        async with stream:
            yield Piece()
            async for chunk in stream:
                if chunk.usage:
                    usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for choice in chunk.choices:
                    reason = choice.finish_reason or reason
                    if choice.delta.content:
                        yield Piece(choice.delta.content)
        if reason is None:
            raise JobError("upstream_failed", BROKEN_OFF)
        yield Piece("", reason, usage)
