"""A model that writes: summaries, translations. Many jobs' pieces are decoded together, greedily."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from config.settings import ModelSettings, StageSettings
from workers.detokenizer import Detokenizer
from workers.errors import LoadError
from workers.hub import describe, max_tokens
from workers.messages import JobId, PipelineWork
from workers.pipeline.choosing import Rules, eos_ids_of
from workers.pipeline.cohort import Cohort, Row
from workers.pipeline.decoders import begin
from workers.pipeline.model import Model, broke
from workers.pipeline.piece import Outcome, Piece
from workers.pipeline.sentences import cut
from workers.pipeline.wording import Frame, Framing

# With one, a short text would wait for a long one; with many, batches would be small.
MAX_COHORTS = 4
# Two texts side by side may have a token or two more than both alone.
SPARE_TOKENS = 4
# Shorter than this, parts of a text mean nothing.
MIN_PART_TOKENS = 16

# Texts of at most so many tokens, as one of the functions in `sentences` cuts them.
Cut = Callable[[str, int, Callable[[str], int]], list[str]]


class Generator(Model):
    """Each step begins a cohort, or advances one by a token.

    Pieces that are in work when their job is paused are finished: they are few, and short. Those of
    a job that is dropped leave at once. Where a batch fails, its rows go on one by one, and only the
    one that fails alone breaks.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        framing: Framing,
        settings: StageSettings,
        model_settings: ModelSettings,
        cut_text: Cut = cut,
    ) -> None:
        super().__init__(model_settings.max_num_seqs, model_settings.max_batched_tokens)
        self.description = describe(model)
        self.framing = framing
        self._model = model
        self._tokenizer = tokenizer
        self._cut = cut_text
        max_new_tokens = _max_new_tokens(model, settings)
        self._rules = Rules(model, eos_ids_of(model, tokenizer), max_new_tokens)
        self._special_ids = frozenset(tokenizer.all_special_ids)
        self._part_tokens = self._count_part_tokens(model_settings, max_new_tokens)
        self._cohorts: deque[Cohort] = deque()
        # Rows that begin again alone, as their batch failed.
        self._again: deque[Row] = deque()

    def parts(self, text: str) -> list[str]:
        return self._cut(text, self._part_tokens, self._count)

    def measure(self, value: Any) -> int:
        return self._count(value)

    def has_work(self) -> bool:
        return bool(self._cohorts or self._again or self.waiting)

    def drop(self, job_id: JobId) -> None:
        super().drop(job_id)
        self._again = deque(row for row in self._again if row.piece.job_id != job_id)
        for cohort in self._cohorts:
            cohort.drop(job_id)
        self._clear()

    @torch.inference_mode()
    def step(self) -> list[Outcome]:
        room = self.max_pieces - sum(len(cohort.rows) for cohort in self._cohorts)
        if room > 0 and len(self._cohorts) < MAX_COHORTS:
            if self._again:
                return self._begin([self._again.popleft()])
            if self.waiting:
                return self._take(self.waiting.take(room, self.max_size))
        return self._advance()

    @torch.inference_mode()
    def warm_up(self) -> None:
        """A first token for a short text: what fails here would fail for everybody. Raises LoadError."""
        try:
            decoding = begin(self._model, [self._row(Piece(0, 0, 0, "warm up", PipelineWork([], []))).prompt])
            self._rules.choose(decoding, self._rules.begin(decoding.token_ids.shape[1]))
        except Exception as error:
            raise LoadError(f"it cannot write: {type(error).__name__}: {error}") from error

    def _take(self, pieces: list[Piece]) -> list[Outcome]:
        rows: list[Row] = []
        told: list[Outcome] = []
        for piece in pieces:
            try:
                rows.append(self._row(piece))
            except Exception as error:
                told.append(broke(piece, error))
        return told + self._begin(rows) if rows else told

    def _begin(self, rows: list[Row]) -> list[Outcome]:
        try:
            decoding = begin(self._model, [row.prompt for row in rows])
            self._cohorts.append(Cohort(rows, decoding, self._rules))
        except Exception as error:
            return self._failed(rows, error)
        return []

    def _advance(self) -> list[Outcome]:
        cohort = self._cohorts[0]
        self._cohorts.rotate(-1)
        try:
            return cohort.step()
        except Exception as error:
            rows, cohort.rows = cohort.rows, []
            return self._failed(rows, error)
        finally:
            self._clear()

    def _failed(self, rows: list[Row], error: Exception) -> list[Outcome]:
        if len(rows) == 1:
            return [broke(rows[0].piece, error)]
        self._again.extend(rows)
        return []

    def _clear(self) -> None:
        self._cohorts = deque(cohort for cohort in self._cohorts if cohort.rows)

    def _row(self, piece: Piece) -> Row:
        frame = self.framing.find(piece.work.target_language)
        first_id = frame.first_id
        if first_id is None and self._model.config.is_encoder_decoder:
            first_id = getattr(self._model.generation_config, "forced_bos_token_id", None)
        forced = [] if first_id is None else [first_id]
        detokenizer = Detokenizer(self._decode, self._special_ids, [])
        return Row(piece, self._encode(frame, piece.value), forced, detokenizer)

    def _encode(self, frame: Frame, text: str) -> list[int]:
        said = frame.before + text + frame.after
        # No warning about a length: parts are cut to fit.
        made: list[int] = self._tokenizer(
            said, add_special_tokens=not frame.is_whole, verbose=False
        ).input_ids
        return made

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, clean_up_tokenization_spaces=False))

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def _count_part_tokens(self, settings: ModelSettings, max_new_tokens: int) -> int:
        limit = max_tokens(self._model, self._tokenizer)
        if settings.max_model_len:
            limit = min(limit, settings.max_model_len)
        if not self._model.config.is_encoder_decoder:
            limit -= max_new_tokens
        around = max(len(self._encode(frame, "")) for frame in self.framing.frames)
        left = limit - around - SPARE_TOKENS
        if left < MIN_PART_TOKENS:
            reads = "prompt and answer" if not self._model.config.is_encoder_decoder else "texts"
            raise LoadError(
                f"it has room for {reads} of {limit} tokens, of which {left} would be left for a text; "
                f"at least {MIN_PART_TOKENS} are needed (max_new_tokens is {max_new_tokens})"
            )
        return left


def _max_new_tokens(model: PreTrainedModel, settings: StageSettings) -> int:
    """The settings', where the decoder has as many positions."""
    names: Iterable[str] = ("max_decoder_position_embeddings", "max_position_embeddings")
    known = [getattr(model.config, name, None) for name in names]
    positions = next((limit for limit in known if limit), None)
    if positions is None or not model.config.is_encoder_decoder:
        return settings.max_new_tokens
    return min(settings.max_new_tokens, int(positions) - 1)
