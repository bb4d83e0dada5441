"""Prompts → token ids."""

from transformers import PreTrainedTokenizerBase

from workers.errors import JobError
from workers.messages import ChatPrompt, Prompt, TextPrompt, TokenPrompt


class PromptEncoder:
    """Lays prompts out with the model's own tokenizer and chat template. Raises JobError."""

    def __init__(self, model_name: str, tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> None:
        self._model_name = model_name
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size

    @property
    def has_chat_template(self) -> bool:
        return self._tokenizer.chat_template is not None

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

    def _chat(self, prompt: ChatPrompt) -> list[int]:
        if not self.has_chat_template:
            message = f'model "{self._model_name}" has no chat template: send a prompt, not messages'
            raise JobError("bad_params", message, "messages")
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        try:
            text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except Exception as error:
            # A template is a program of the model's maker: it may raise anything, and no worker dies of it.
            message = f'the chat template of model "{self._model_name}" refuses the messages: {error}'
            raise JobError("bad_params", message, "messages") from error
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def check(self, token_ids: list[int]) -> None:
        """Raises JobError for an id that the model does not know."""
        for token_id in token_ids:
            if not 0 <= token_id < self._vocab_size:
                message = (
                    f'token id {token_id} is not in 0 … {self._vocab_size - 1} (model "{self._model_name}")'
                )
                raise JobError("bad_params", message, "prompt")

    def _first_token(self) -> list[int]:
        if self._tokenizer.bos_token_id is None:
            message = f'prompt has no tokens, and model "{self._model_name}" has none to start from'
            raise JobError("bad_params", message, "prompt")
        return [self._tokenizer.bos_token_id]
