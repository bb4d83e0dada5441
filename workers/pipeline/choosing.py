"""Which token comes next: the likeliest that the model's own generation config allows.

The model's beams are not used: what was streamed cannot be taken back. All else of its generation
config that bears on a greedy choice is: `generate(num_beams=1, do_sample=False)` chooses the same.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    ForcedEOSTokenLogitsProcessor,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
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

from workers.pipeline.decoders import Decoding


class Rules:
    """What a model's generation config says of the tokens that it writes, at most `max_new_tokens`.

    A forced first token is not among them: the rows know theirs.
    """

    def __init__(self, model: PreTrainedModel, eos_ids: frozenset[int], max_new_tokens: int) -> None:
        self._config: Any = model.generation_config
        self.eos_ids = eos_ids
        self.max_new_tokens = max_new_tokens
        self._eos_ids = torch.tensor(sorted(eos_ids), device=model.device, dtype=torch.int64)
        self._penalty = float(self._config.repetition_penalty or 1.0)

    def begin(self, num_read: int) -> LogitsProcessorList:
        """For rows of which `num_read` tokens, padding included, stand before the first new one."""
        return LogitsProcessorList(
            [*self._forbidding(), *self._ending(num_read), *self._suppressing(num_read)]
        )

    def choose(self, decoding: Decoding, processors: LogitsProcessorList) -> list[int]:
        """One token id for each row; one device step."""
        scores = decoding.logits()
        if self._penalty != 1.0:
            # Made anew in each step, as it knows the rows' padding, and rows leave.
            penalise = RepetitionPenaltyLogitsProcessor(self._penalty, prompt_ignore_length=decoding.padding)
            scores = penalise(decoding.token_ids, scores)
        token_ids: Any = decoding.token_ids
        chosen: list[int] = processors(token_ids, scores).argmax(-1).tolist()
        return chosen

    def _forbidding(self) -> list[Any]:
        config, made = self._config, list[Any]()
        if config.sequence_bias:
            made.append(SequenceBiasLogitsProcessor(config.sequence_bias))
        if config.no_repeat_ngram_size:
            made.append(NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
        if config.bad_words_ids:
            made.append(NoBadWordsLogitsProcessor(config.bad_words_ids, self._eos()))
        return made

    def _ending(self, num_read: int) -> list[Any]:
        config, made, device = self._config, list[Any](), self._device
        if config.min_length and self._eos() is not None:
            made.append(MinLengthLogitsProcessor(config.min_length, self._eos_ids, device))
        if config.min_new_tokens and self._eos() is not None:
            least = config.min_new_tokens
            made.append(MinNewTokensLengthLogitsProcessor(num_read, least, self._eos_ids, device))
        if config.forced_eos_token_id is not None:
            most = num_read + self.max_new_tokens
            made.append(ForcedEOSTokenLogitsProcessor(most, config.forced_eos_token_id, device))
        return made

    def _suppressing(self, num_read: int) -> list[Any]:
        config, made, device = self._config, list[Any](), self._device
        if config.suppress_tokens:
            made.append(SuppressTokensLogitsProcessor(config.suppress_tokens, device))
        if config.begin_suppress_tokens:
            first = num_read + (num_read == 1 and config.forced_bos_token_id is not None)
            made.append(SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, first, device))
        return made

    def _eos(self) -> Tensor | None:
        return self._eos_ids if len(self._eos_ids) else None

    @property
    def _device(self) -> str:
        return str(self._eos_ids.device)


def eos_ids_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """All that end an answer: the generation config's, the model's and the tokenizer's."""
    ids: set[int] = set()
    for config in (model.generation_config, model.config, tokenizer):
        eos = getattr(config, "eos_token_id", None)
        ids.update([eos] if isinstance(eos, int) else eos or [])
    return frozenset(ids)
