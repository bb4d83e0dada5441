"""Token ids → text, one token at a time, never half a character."""

from collections.abc import Callable

Decode = Callable[[list[int]], str]

REPLACEMENT = "\ufffd"
# A character has at most 4 bytes, so an unfinished one is at most 3 tokens and 3 replacement signs.
MAX_UNFINISHED = 3
# Past this many tokens without a whole character the bytes are no text: the window must not grow for ever.
MAX_PENDING = 64
# Decoding a few tokens more costs less than moving the window at each.
MAX_SETTLED = 12


class Detokenizer:
    """Decodes a short window at the end of the answer, so that a token costs the same at any length.

    `decode` turns token ids into text. The window starts where a character starts; what it shows beyond
    the text that was given out before is new. `context` are the prompt's last tokens where the answer
    continues the prompt's text: a sentencepiece decoder drops the space before the first token that
    it sees, and that must not be the answer's first.
    """

    def __init__(self, decode: Decode, special_ids: frozenset[int], context: list[int]) -> None:
        self._decode = decode
        self._special_ids = special_ids
        self._window = [token_id for token_id in context if token_id not in special_ids]
        text = decode(self._window) if self._window else ""
        if text.endswith(REPLACEMENT):
            self._window, text = [], ""
        self._num_chars = len(text)
        self._num_settled = len(self._window)

    def push(self, token_id: int) -> str:
        """The text that is certain after this token; special tokens have none."""
        if token_id in self._special_ids:
            return ""
        self._window.append(token_id)
        text = self._decode(self._window)
        num_pending = len(self._window) - self._num_settled
        if not text.endswith(REPLACEMENT) or num_pending > MAX_PENDING:
            return self._settle(text)
        return self._take(_without_unfinished(text)) if num_pending > MAX_UNFINISHED else ""

    def flush(self) -> str:
        """All text that is still held back; an unfinished character becomes replacement signs."""
        return self._settle(self._decode(self._window)) if self._window else ""

    def _take(self, text: str) -> str:
        new = text[self._num_chars :]
        self._num_chars = max(self._num_chars, len(text))
        return new

    def _settle(self, text: str) -> str:
        """Give out all of it, and let the window start at the last place known to start a character."""
        new = self._take(text)
        if len(self._window) > MAX_SETTLED and 0 < self._num_settled < len(self._window):
            self._window = self._window[self._num_settled :]
            self._num_chars = len(self._decode(self._window))
        self._num_settled = len(self._window)
        return new


def _without_unfinished(text: str) -> str:
    """The text without the replacement signs at its end that the next bytes may still change."""
    num_signs = len(text) - len(text.rstrip(REPLACEMENT))
    return text[: len(text) - min(num_signs, MAX_UNFINISHED)]
