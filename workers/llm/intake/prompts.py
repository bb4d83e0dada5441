"""Prompts → token ids."""

import json
from functools import cache
from typing import Any

from transformers import PreTrainedTokenizerBase

from workers.errors import JobError
from workers.messages import ChatMessage, ChatPrompt, Prompt, TextPrompt, TokenPrompt
from workers.trimming import trimmed


class PromptEncoder:
    """Lays prompts out with the model's own tokenizer and chat template. Raises JobError."""

    def __init__(self, model_name: str, tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
        self._model_name = model_name
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size

    @property
    def has_chat_template(self) -> bool:
        return self._tokenizer.chat_template is not None

    @property
    def knows_tools(self) -> bool:
        """Whether the template lays tools out; a model with several templates may have one for them."""
        template = self._tokenizer.chat_template
        return "tools" in (template if isinstance(template, str) else json.dumps(template))

    def encode(self, prompt: Prompt) -> list[int]:
        """Never empty: a prompt without tokens starts from the model's first token."""
        match prompt:
            case ChatPrompt():
                token_ids = self._chat(prompt)
            case TextPrompt(text):
                token_ids = list(self._tokenizer.encode(text))
            case TokenPrompt(token_ids):
                self.check(token_ids)
        return token_ids or self._first_token()

    def encode_newest(self, prompt: ChatPrompt, max_tokens: int) -> list[int]:
        """As `encode`, without the oldest exchanges where all would be more than `max_tokens`.

        More than that it is where the system messages and the newest of the user's do not fit. Messages are
        counted one by one, from the newest back, so that what it costs goes with the context's length and
        not with the history's; what the template adds to each is learned from the first attempt.
        """

        @cache
        def count(message: ChatMessage) -> int:
            return len(self._tokenizer.encode(message.content, add_special_tokens=False))

        num_added = 0

        def size(message: ChatMessage) -> int:
            return count(message) + num_added

        while True:
            messages = trimmed(prompt.messages, max_tokens, size)
            token_ids = self.encode(ChatPrompt(messages, tools=prompt.tools))
            if len(token_ids) <= max_tokens or len(messages) == len(trimmed(messages, 0, count)):
                return token_ids
            num_more = len(token_ids) - sum(map(count, messages))
            num_added = max(num_added + 1, -(-num_more // len(messages)))

    def _chat(self, prompt: ChatPrompt) -> list[int]:
        if not self.has_chat_template:
            message = f'model "{self._model_name}" has no chat template: send a prompt, not messages'
            raise JobError("bad_params", message, "messages")
        if prompt.tools and not self.knows_tools:
            message = f'the chat template of model "{self._model_name}" has no place for tools'
            raise JobError("bad_params", message, "tools")
        messages = [_as_template(message) for message in prompt.messages]
        try:
            tools = [json.loads(tool) for tool in prompt.tools] or None
            text = self._tokenizer.apply_chat_template(
                messages, tools=tools, add_generation_prompt=True, tokenize=False
            )
        except Exception as error:
            # A template is a program of the model's maker: it may raise anything, and no worker dies of it.
            message = f'the chat template of model "{self._model_name}" refuses the messages: {error}'
            raise JobError("bad_params", message, "messages") from error
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def check(self, token_ids: list[int], param: str = "prompt") -> None:
        """Raises JobError for an id that the model does not know."""
        for token_id in token_ids:
            if not 0 <= token_id < self._vocab_size:
                message = (
                    f'token id {token_id} is not in 0 … {self._vocab_size - 1} (model "{self._model_name}")'
                )
                raise JobError("bad_params", message, param)

    def _first_token(self) -> list[int]:
        if self._tokenizer.bos_token_id is None:
            message = f'prompt has no tokens, and model "{self._model_name}" has none to start from'
            raise JobError("bad_params", message, "prompt")
        return [self._tokenizer.bos_token_id]


def _as_template(message: ChatMessage) -> dict[str, Any]:
    """The message as templates read it: a call's arguments are values, not JSON in a string."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _value(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found


def _value(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
