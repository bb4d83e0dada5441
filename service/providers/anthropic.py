"""An upstream that speaks the Anthropic API, through the official `anthropic` client."""

from collections.abc import AsyncGenerator
from typing import Any

import anthropic

from config.settings import ProviderSettings
from service.providers.provider import BROKEN_OFF, Piece, Provider, job_error_code
from workers.errors import JobError
from workers.messages import ChatMessage, Sampling, Usage

REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length"}


class AnthropicProvider(Provider):
    def __init__(self, settings: ProviderSettings) -> None:
        # Retrying is the caller's to decide: he sees what was sent.
        self._client = anthropic.AsyncAnthropic(
            base_url=settings.base_url, api_key=settings.api_key or "none", max_retries=0
        )

    async def answer(
        self, model: str, messages: list[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        try:
            async for piece in self._pieces(model, messages, sampling):
                yield piece
        except anthropic.APIStatusError as error:
            raise JobError(job_error_code(error.status_code), f"upstream: {error.message}") from error
        except anthropic.APIError as error:
            raise JobError("upstream_failed", f"upstream: {error.message}") from error

    async def close(self) -> None:
        await self._client.close()

    async def _pieces(
        self, model: str, messages: list[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        conversation: Any = [{"role": m.role, "content": m.content} for m in messages if m.role != "system"]
        system = "\n\n".join(message.content for message in messages if message.role == "system")
        # The client knows no temperature any more: the upstream's own stands.
        async with self._client.messages.stream(
            model=model,
            messages=conversation,
            system=system or anthropic.omit,
            max_tokens=sampling.max_tokens,
        ) as stream:
            yield Piece()
            async for text in stream.text_stream:
                yield Piece(text)
            final = await stream.get_final_message()
        if final.stop_reason is None:
            raise JobError("upstream_failed", BROKEN_OFF)
        reason = REASONS.get(final.stop_reason, final.stop_reason)
        yield Piece("", reason, Usage(final.usage.input_tokens, final.usage.output_tokens))
