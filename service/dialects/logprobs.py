"""How likely an answer's tokens were, in the two shapes of the OpenAI API."""

from collections.abc import Sequence
from typing import Any

from workers.messages import TokenLogprob, TopLogprob

AnyLogprob = TokenLogprob | TopLogprob


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Of a chat's choice; a token that is a part of a character is told by its bytes."""
    entries = [_entry(token) | {"top_logprobs": [_entry(other) for other in token.top]} for token in tokens]
    return {"content": entries, "refusal": None}


def completion_logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """Of a completion's choice, whose text begins at `offset`: columns, and the likely tokens by their text.

    The token itself is among these, as the API promises, also where it is none of the likeliest. An echoed
    prompt's first token has no likelihood: null.
    """
    return {
        "tokens": [_name(token) for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_likely(token) for token in tokens],
        "text_offset": [offset + token.offset for token in tokens],
    }


def _likely(token: TokenLogprob) -> dict[str, float] | None:
    if token.logprob is None:
        return None
    return {_name(other): other.logprob for other in token.top} | {_name(token): token.logprob}


def _entry(token: AnyLogprob) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.raw) or None}


def _name(token: AnyLogprob) -> str:
    """Parts of characters would all look alike: they are named as the API does."""
    try:
        token.raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.raw)
    return token.text
