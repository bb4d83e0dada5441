"""Which token comes next: the likeliest that the model's own generation config allows.

The model's beams are not used: what was streamed cannot be taken back. All else of its generation
config that bears on a greedy choice is: `generate(num_beams=1, do_sample=False)` chooses the same.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    EncoderNoRepeatNGramLogitsProcessor,
    EncoderRepetitionPenaltyLogitsProcessor,
    ExponentialDecayLengthPenalty,
    ForcedEOSTokenLogitsProcessor,
    InfNanRemoveLogitsProcessor,
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

from workers.errors import LoadError
from workers.pipeline.decoders import Decoding

REFUSED = ("guidance_scale", "stop_strings", "watermarking_config")


class Rules:
    """What a model's generation config says of the tokens that it writes, at most `max_new_tokens`.

    A forced first token is not among them: the rows know theirs. Raises LoadError for what is not
    known here.
    """

    def __init__(
        self, model: PreTrainedModel, eos_ids: frozenset[int], max_new_tokens: int, forces_first: bool
    ) -> None:
        self._config: Any = model.generation_config
        for name in REFUSED:
            if (value := getattr(self._config, name, None)) not in (None, 1):
                raise LoadError(f"its generation config asks for {name} {value!r}, which is not supported")
        self.eos_ids = eos_ids
        self.max_new_tokens = max_new_tokens
        self._num_forced = int(forces_first)
        self._eos_ids = torch.tensor(sorted(eos_ids), device=model.device, dtype=torch.int64)
        self._device = str(self._eos_ids.device)

    def begin(self, decoding: Decoding) -> LogitsProcessorList:
        """For these rows; they are to be made anew when rows leave."""
        return LogitsProcessorList(
            [
                *self._forbidding(decoding),
                *self._ending(decoding),
                *self._suppressing(decoding.num_prompt),
            ]
        )

    def choose(self, decoding: Decoding, processors: LogitsProcessorList) -> list[int]:
        """One token id for each row; one device step."""
        token_ids: Any = decoding.token_ids
        scores: Any = decoding.logits()
        chosen: list[int] = processors(token_ids, scores).argmax(-1).tolist()
        return chosen

    def _forbidding(self, decoding: Decoding) -> list[Any]:
        config, made = self._config, list[Any]()
        sources: list[Any] = decoding.sources
        if config.sequence_bias:
            made.append(SequenceBiasLogitsProcessor(config.sequence_bias))
        if (penalty := float(config.encoder_repetition_penalty or 1.0)) != 1.0:
            made.append(_RowByRow([EncoderRepetitionPenaltyLogitsProcessor(penalty, ids) for ids in sources]))
        if (penalty := float(config.repetition_penalty or 1.0)) != 1.0:
            made.append(RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=decoding.padding))
        if config.no_repeat_ngram_size:
            made.append(NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
        if size := config.encoder_no_repeat_ngram_size:
            made.append(_RowByRow([EncoderNoRepeatNGramLogitsProcessor(size, ids) for ids in sources]))
        if config.bad_words_ids:
            made.append(NoBadWordsLogitsProcessor(config.bad_words_ids, self._eos()))
        return made

    def _ending(self, decoding: Decoding) -> list[Any]:
        config, made, num_prompt = self._config, list[Any](), decoding.num_prompt
        if self._eos() is not None:
            # One replaces the other, as in transformers' generate.
            if least := config.min_new_tokens:
                made.append(MinNewTokensLengthLogitsProcessor(num_prompt, least, self._eos_ids, self._device))
            elif config.min_length:
                made.append(_MinLength(config.min_length, decoding.padding, self._eos_ids))
        if config.forced_eos_token_id is not None:
            most = num_prompt + self.max_new_tokens
            made.append(ForcedEOSTokenLogitsProcessor(most, config.forced_eos_token_id, self._device))
        if config.remove_invalid_values:
            made.append(InfNanRemoveLogitsProcessor())
        if config.exponential_decay_length_penalty and self._eos() is not None:
            decay = config.exponential_decay_length_penalty
            made.append(ExponentialDecayLengthPenalty(decay, self._eos_ids, num_prompt))
        return made

    def _suppressing(self, num_prompt: int) -> list[Any]:
        config, made = self._config, list[Any]()
        if config.suppress_tokens:
            made.append(SuppressTokensLogitsProcessor(config.suppress_tokens, self._device))
        if config.begin_suppress_tokens:
            first = num_prompt + (self._num_forced if num_prompt == 1 else 0)
            made.append(
                SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, first, self._device)
            )
        return made

    def _eos(self) -> Tensor | None:
        return self._eos_ids if len(self._eos_ids) else None


class _RowByRow:
    """A processor for each row: of what the rows have read none is padded."""

    def __init__(self, processors: list[Any]) -> None:
        self._processors = processors

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if not self._processors:
            return scores
        rows = zip(self._processors, torch.split(input_ids, 1), torch.split(scores, 1), strict=True)
        return torch.cat([process(ids, row) for process, ids, row in rows])


class _MinLength:
    """As transformers' MinLengthLogitsProcessor, but a row's padding is no part of its length."""

    def __init__(self, min_length: int, padding: Tensor, eos_ids: Tensor) -> None:
        self._lengths = padding + min_length
        self._eos_ids = eos_ids

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        is_short = self._lengths > input_ids.shape[1]
        is_end = torch.isin(torch.arange(scores.shape[1], device=scores.device), self._eos_ids)
        return scores.masked_fill(is_short[:, None] & is_end, float("-inf"))


def eos_ids_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All that end an answer: the generation config's, the model's and the tokenizer's."""
    ids: set[int] = set()
    for config in (model.generation_config, model.config, tokenizer):
        eos = getattr(config, "eos_token_id", None)
        ids.update([eos] if isinstance(eos, int) else eos or [])
    return frozenset(ids)
