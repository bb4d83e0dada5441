"""One forward over a step's batch."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from workers.llm.attention import PagedAttention
from workers.llm.batch import Batch
from workers.llm.cache import LayerCache, LayerShape
from workers.llm.kernels.attention import KernelAttention, KernelCache, StepTables
from workers.llm.kernels.library import Kernels
from workers.llm.layout import Layout


class Runner:
    """Owns the model and its cache; knows nothing of jobs. With `kernels`, attention is theirs."""

    def __init__(
        self, model: PreTrainedModel, layers: dict[nn.Module, LayerShape], kernels: Kernels | None
    ) -> None:
        self._model = model
        self._modules = list(layers)
        self._shapes = list(layers.values())
        self._kernels = kernels
        self._tables = StepTables()
        self._attentions: list[PagedAttention | KernelAttention] = []
        self._can_slice = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.device = model.device

    @property
    def token_bytes(self) -> int:
        """Bytes of cache that one token takes."""
        return sum(shape.num_bytes for shape in self._shapes)

    @property
    def cache_bytes(self) -> int:
        """Bytes of the whole cache."""
        return sum(attention.cache.num_bytes for attention in self._attentions)

    def make_cache(self, num_blocks: int, block_tokens: int) -> None:
        for module, shape in zip(self._modules, self._shapes, strict=True):
            attention = self._attention(shape, num_blocks, block_tokens)
            module.paged_attention = attention  # type: ignore[assignment]
            self._attentions.append(attention)

    def _attention(
        self, shape: LayerShape, num_blocks: int, block_tokens: int
    ) -> PagedAttention | KernelAttention:
        if self._kernels is None:
            return PagedAttention(LayerCache(shape, num_blocks, block_tokens, self.device))
        return KernelAttention(
            self._kernels, shape, KernelCache(shape, num_blocks, block_tokens), self._tables
        )

    def run(self, batch: Batch) -> Tensor:
        """Compute the batch; return the logits `[S', V]` of the places to sample."""
        self._lay_out(batch)
        input_ids = torch.from_numpy(batch.input_ids).to(self.device)
        positions = torch.from_numpy(batch.positions).to(self.device)
        sampled = torch.from_numpy(batch.sampled).to(self.device)
        arguments: dict[str, Any] = {"logits_to_keep": sampled} if self._can_slice else {}
        output = self._model(
            input_ids=input_ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            **arguments,
        )
        logits: Tensor = output.logits[0]
        return logits if self._can_slice else logits.index_select(0, sampled)

    def _lay_out(self, batch: Batch) -> None:
        self._tables.lay_out(batch)
        if self._kernels is None:
            layout = Layout(batch, self._shapes[0].dtype, self.device)
            for attention in self._attentions:
                assert isinstance(attention, PagedAttention)
                attention.layout = layout

    def erase(self, blocks: list[int]) -> None:
        """Forget what is in these blocks: what is no number must not reach their next owner."""
        for attention in self._attentions:
            attention.cache.erase(blocks)
