"""The two families of models that generate text, behind one interface: what has been read and written
so far, and the logits of what follows.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class Decoding(ABC):
    """Rows that are decoded together: B rows, T tokens that the decoder has read or is to read next.

    `token_ids` [B, T] int64 and `padding` [B] int64, how many of each row's first tokens stand for
    nothing. The first `num_prompt` of T were given, not chosen, padding included. `sources` are
    what the encoder has read, where there is one: for each row [1, S] int64, without padding. Rows may
    leave, none may join.
    """

    token_ids: Tensor
    padding: Tensor
    num_prompt: int
    sources: list[Tensor]

    @abstractmethod
    def logits(self) -> Tensor:
        """Read what was appended last; the logits [B, V] float32 of the next token."""

    def append(self, token_ids: list[int]) -> None:
        """Let each row go on with its token."""
        column = torch.tensor(token_ids, device=self.token_ids.device)[:, None]
        self.token_ids = torch.cat([self.token_ids, column], 1)

    def keep(self, rows: list[int]) -> None:
        """Free all other rows; these take their places, in this order."""
        self._select(torch.tensor(rows, device=self.token_ids.device))

    def _select(self, rows: Tensor) -> None:
        self.token_ids = self.token_ids[rows]
        self.padding = self.padding[rows]
        if self.sources:
            self.sources = [self.sources[row] for row in rows.tolist()]


class EncoderDecoding(Decoding):
    """The encoder runs once, here; the decoder reads one token a step."""

    def __init__(self, model: PreTrainedModel, prompts: list[list[int]]) -> None:
        self._model: Any = model
        input_ids, self._mask = _padded(model, prompts, at_left=False)
        encoded = model.get_encoder()(input_ids=input_ids, attention_mask=self._mask, return_dict=True)
        self._encoded: Tensor = encoded.last_hidden_state
        # Without the config, which has one number of layers where encoder and decoder may differ.
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.sources = [torch.tensor([prompt], device=model.device) for prompt in prompts]
        self.token_ids = input_ids.new_full((len(prompts), 1), start_id(model))
        self.num_prompt = 1
        self.padding = input_ids.new_zeros(len(prompts))

    def logits(self) -> Tensor:
        made = self._model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self._encoded),
            attention_mask=self._mask,
            decoder_input_ids=self.token_ids[:, -1:],
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
        )
        logits: Tensor = made.logits[:, -1].float()
        return logits

    def _select(self, rows: Tensor) -> None:
        super()._select(rows)
        self._mask = self._mask[rows]
        self._encoded = self._encoded[rows]
        self._cache.batch_select_indices(rows)


class CausalDecoding(Decoding):
    """Prompts are padded at their left, and read in the first step; then one token a step."""

    def __init__(self, model: PreTrainedModel, prompts: list[list[int]]) -> None:
        self._model: Any = model
        self.token_ids, self._mask = _padded(model, prompts, at_left=True)
        self.padding = (self._mask == 0).sum(1)
        self.num_prompt = self.token_ids.shape[1]
        self.sources = []
        self._cache = DynamicCache(config=model.config)
        self._num_read = 0
        accepted = inspect.signature(model.forward).parameters
        self._has_positions = "position_ids" in accepted
        # Logits of a whole prompt would be T times as large as those that are used.
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def logits(self) -> Tensor:
        made = self._model(
            input_ids=self.token_ids[:, self._num_read :],
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            return_dict=True,
            **self._positions(),
            **self._last,
        )
        self._num_read = self.token_ids.shape[1]
        logits: Tensor = made.logits[:, -1].float()
        return logits

    def append(self, token_ids: list[int]) -> None:
        super().append(token_ids)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(token_ids), 1)], 1)

    def _positions(self) -> dict[str, Tensor]:
        """Padding takes no position: a row's first token stands at 0 wherever its neighbours begin."""
        if not self._has_positions:
            return {}
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        return {"position_ids": positions[:, self._num_read :]}

    def _select(self, rows: Tensor) -> None:
        super()._select(rows)
        self._mask = self._mask[rows]
        self._cache.batch_select_indices(rows)


def begin(model: PreTrainedModel, prompts: list[list[int]]) -> Decoding:
    """Rows for these prompts, as the model's family decodes them."""
    family = EncoderDecoding if model.config.is_encoder_decoder else CausalDecoding
    return family(model, prompts)


def start_id(model: PreTrainedModel) -> int:
    """What an encoder-decoder's decoder reads first."""
    for token_id in _ids(model, "decoder_start_token_id", "bos_token_id"):
        return token_id
    raise ValueError("the model has no decoder_start_token_id")


def _ids(model: PreTrainedModel, *names: str) -> Iterator[int]:
    """The token ids that the generation config, or else the model's, has by these names."""
    for name in names:
        for config in (model.generation_config, model.config):
            token_id = getattr(config, name, None)
            if isinstance(token_id, list):
                token_id = token_id[0]
            if token_id is not None:
                yield token_id


def _padded(model: PreTrainedModel, prompts: list[list[int]], at_left: bool) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask [B, T] int64. The mask hides from the model which id pads; but the
    rules that look for repeats see it, so it is none that texts have.
    """
    pad_id = next((id_ for id_ in _ids(model, "pad_token_id", "eos_token_id")), 0)
    length = max(len(prompt) for prompt in prompts)
    ids, mask = [], []
    for prompt in prompts:
        rest = length - len(prompt)
        before, after = (rest, 0) if at_left else (0, rest)
        ids.append([pad_id] * before + prompt + [pad_id] * after)
        mask.append([0] * before + [1] * len(prompt) + [0] * after)
    return torch.tensor(ids, device=model.device), torch.tensor(mask, device=model.device)
