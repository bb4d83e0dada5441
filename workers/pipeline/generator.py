"""A model that writes: summaries, translations. Many jobs' pieces are decoded together, greedily."""

from collections import deque
from collections.abc import Iterable

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from config.settings import ModelSettings, StageSettings
from workers.errors import LoadError
from workers.hub import describe, one_line
from workers.messages import JobId, PipelineWork
from workers.pipeline.choosing import Rules, eos_ids_of
from workers.pipeline.cohort import Cohort, Row
from workers.pipeline.decoders import begin
from workers.pipeline.intake import Cut, Intake
from workers.pipeline.model import Model, broke
from workers.pipeline.piece import Outcome, Piece
from workers.pipeline.sentences import cut
from workers.pipeline.wording import Framing

# With one, a short text would wait for a long one; with many, batches would be small.
MAX_COHORTS = 4


class Generator(Model):
    """Each step begins a cohort, or advances one by a token. The cohorts take turns.

    A cohort has at most `max_pieces` rows and reads at most `max_size` tokens. One begins for the job
    that has waited longest and has none in work; pieces of others, of about the same length, go with
    it. So a job waits for at most the cohorts in work, however many pieces others have brought.

    Pieces that are in work when their job is paused are finished: they are few, and short. Those of
    a job that is dropped are in no further step. A batch that fails is halved and begins again where
    it was, until the one row that fails is alone, and breaks.
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
        self._intake = Intake(model, tokenizer, framing, cut_text)
        max_new_tokens = _max_new_tokens(model, settings)
        self._intake.bound(model_settings, max_new_tokens)
        eos_ids = eos_ids_of(model, tokenizer)
        self._rules = Rules(model, eos_ids, max_new_tokens, self._intake.forces_first)
        self._cohorts: deque[Cohort] = deque()
        # Halves of batches that failed.
        self._again: deque[list[Row]] = deque()

    def parts(self, text: str) -> list[str]:
        return self._intake.parts(text)

    def measure(self, value: str) -> int:
        return self._intake.count(value)

    def has_work(self) -> bool:
        return bool(self._cohorts or self._again or self.waiting)

    def drop(self, job_id: JobId) -> None:
        super().drop(job_id)
        left = ([row for row in rows if row.piece.job_id != job_id] for rows in self._again)
        self._again = deque(rows for rows in left if rows)
        for cohort in self._cohorts:
            cohort.drop(job_id)
        self._clear()

    @torch.inference_mode()
    def step(self) -> list[Outcome]:
        if len(self._cohorts) < MAX_COHORTS:
            if self._again:
                return self._begin(self._again.popleft())
            in_work = {row.piece.job_id for cohort in self._cohorts for row in cohort.rows}
            if pieces := self.waiting.take(self.max_pieces, self.max_size, in_work):
                return self._take(pieces)
        return self._advance()

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Two short texts of unlike length, of which one leaves: what fails here would fail for everybody.

        Raises LoadError.
        """
        work = PipelineWork([], [])
        rows = [self._intake.row(Piece(0, 0, i, text, work)) for i, text in enumerate(("warm", "warm me up"))]
        try:
            cohort = Cohort(rows, begin(self._model, [row.prompt for row in rows]), self._rules)
            cohort.step()
            rows[1].is_over, rows[0].is_over = True, False
            cohort.step()
        except Exception as error:
            raise LoadError(f"it cannot write: {type(error).__name__}: {one_line(error)}") from error

    def _take(self, pieces: list[Piece]) -> list[Outcome]:
        rows: list[Row] = []
        told: list[Outcome] = []
        for piece in pieces:
            try:
                rows.append(self._intake.row(piece))
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
        cohort = self._cohorts.popleft()
        try:
            told = cohort.step()
        except Exception as error:
            return self._failed(cohort.rows, error)
        if not cohort.is_over:
            self._cohorts.append(cohort)
        return told

    def _failed(self, rows: list[Row], error: Exception) -> list[Outcome]:
        if len(rows) == 1:
            return [broke(rows[0].piece, error)]
        half = len(rows) // 2
        self._again.extend((rows[:half], rows[half:]))
        return []

    def _clear(self) -> None:
        self._cohorts = deque(cohort for cohort in self._cohorts if not cohort.is_over)


def _max_new_tokens(model: PreTrainedModel, settings: StageSettings) -> int:
    """The settings', where the decoder has as many positions."""
    names: Iterable[str] = ("max_decoder_position_embeddings", "max_position_embeddings")
    known = [getattr(model.config, name, None) for name in names]
    positions = next((limit for limit in known if limit), None)
    if positions is None or not model.config.is_encoder_decoder:
        return settings.max_new_tokens
    return min(settings.max_new_tokens, int(positions) - 1)
