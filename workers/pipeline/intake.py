"""From texts to rows: what a model that writes is given to read, and how its tokens become text."""

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from config.settings import ModelSettings
from workers.detokenizer import Detokenizer
from workers.errors import LoadError
from workers.hub import max_tokens
from workers.pipeline.cohort import Row
from workers.pipeline.piece import Piece
from workers.pipeline.wording import Frame, Framing

# Two texts side by side may have a token or two more than both alone.
SPARE_TOKENS = 4
# Shorter than this, parts of a text mean nothing.
MIN_PART_TOKENS = 16

# Texts of at most so many tokens, as one of the functions in `sentences` cuts them.
Cut = Callable[[str, int, Callable[[str], int]], list[str]]


class Intake:
    """Cuts texts into parts that the model can read, and frames them.

    Raises LoadError when the frame (and the answer, where the model has one space for both) leave
    no room for a text.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, framing: Framing, cut_text: Cut
    ) -> None:
        self.framing = framing
        self.limit = max_tokens(model, tokenizer)
        self._is_causal = not model.config.is_encoder_decoder
        self._tokenizer = tokenizer
        self._cut = cut_text
        self._first_id = getattr(model.generation_config, "forced_bos_token_id", None)
        special = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
        special.update(frame.first_id for frame in framing.frames if frame.first_id is not None)
        self._special_ids = frozenset(special.union(tokenizer.all_special_ids))
        self._part_tokens = 0

    @property
    def forces_first(self) -> bool:
        """Whether the model is told its answers' first token."""
        return any(self._forced(frame) for frame in self.framing.frames)

    def bound(self, settings: ModelSettings, max_new_tokens: int) -> None:
        """Settle how long a part may be. Raises LoadError."""
        limit = min(self.limit, settings.max_model_len or self.limit)
        around = max(len(self._encode(frame, "")) for frame in self.framing.frames)
        left = limit - around - SPARE_TOKENS - self._is_causal * max_new_tokens
        if left < MIN_PART_TOKENS:
            reads = "prompt and answer" if self._is_causal else "texts"
            raise LoadError(
                f"it has room for {reads} of {limit} tokens, of which {left} would be left for a text; "
                f"at least {MIN_PART_TOKENS} are needed (max_new_tokens is {max_new_tokens})"
            )
        self._part_tokens = left

    def parts(self, text: str) -> list[str]:
        return self._cut(text, self._part_tokens, self.count)

    def count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def row(self, piece: Piece) -> Row:
        """Raises JobError for a language that the model does not write."""
        frame = self.framing.find(piece.work.target_language)
        detokenizer = Detokenizer(self._decode, self._special_ids, [])
        return Row(piece, self._encode(frame, piece.value), self._forced(frame), detokenizer)

    def _forced(self, frame: Frame) -> list[int]:
        first_id = self._first_id if frame.first_id is None else frame.first_id
        return [] if first_id is None else [first_id]

    def _encode(self, frame: Frame, text: str) -> list[int]:
        said = frame.before + text + frame.after
        # No warning about a length: parts are cut to fit.
        made: Any = self._tokenizer(said, add_special_tokens=not frame.is_whole, verbose=False)
        token_ids: list[int] = made.input_ids
        return token_ids

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, clean_up_tokenization_spaces=False))
