"""Each token by itself: its text and its bytes, also where these are only a part of a character."""

import re
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
BYTES = {char: byte for byte, char in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]


class Token(NamedTuple):
    """A special token has a name, but no bytes."""

    text: str
    raw: bytes


class Vocabulary:
    """Tokens by id, each looked up once: at most as many are kept as the model has."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, special_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._special_ids = special_ids
        decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
        self._has_byte_chars = "ByteLevel" in repr(decoder)
        self._added_ids = frozenset(tokenizer.added_tokens_decoder)
        self._tokens: dict[int, Token] = {}

    def __getitem__(self, token_id: int) -> Token:
        token = self._tokens.get(token_id)
        if token is None:
            token = self._tokens[token_id] = self._look_up(token_id)
        return token

    def _look_up(self, token_id: int) -> Token:
        name = str(self._tokenizer.convert_ids_to_tokens(token_id) or "")
        if token_id in self._special_ids:
            return Token(name, b"")
        raw = self._bytes(token_id, name)
        return Token(raw.decode(errors="replace"), raw)

    def _bytes(self, token_id: int, name: str) -> bytes:
        if token_id in self._added_ids:
            return name.encode()
        if self._has_byte_chars and all(char in BYTES for char in name):
            return bytes(BYTES[char] for char in name)
        if byte := BYTE.fullmatch(name):
            return bytes.fromhex(byte[1])
        # The second of two: decoders drop the space before the first.
        once, twice = (str(self._tokenizer.decode([token_id] * times)) for times in (1, 2))
        return twice[len(once) :].encode()
