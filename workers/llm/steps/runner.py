"""One forward over a step's batch."""

import inspect
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from workers.errors import LoadError
from workers.llm.adapters.adapter import Adapter
from workers.llm.adapters.deltas import StepAdapters, attach
from workers.llm.attention.cache import LayerCache, LayerShape
from workers.llm.attention.layout import Layout
from workers.llm.attention.paged import PagedAttention
from workers.llm.attention.varlen import Varlen, VarlenAttention, VarlenStep, make_step, step_arrays
from workers.llm.kernels.attention import KernelAttention, KernelCache, StepTables
from workers.llm.kernels.library import Kernels
from workers.llm.kernels.packing import Packer
from workers.llm.steps.batch import Batch
from workers.llm.steps.carry import Carry
from workers.llm.steps.graphs import DecodeGraphs, Recorder, Room
from workers.llm.steps.upload import upload


class Runner:
    """Owns the model and its cache; knows nothing of jobs.

    With `kernels` attention is theirs; with a `Varlen` it is that function's, in all layers that it takes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        layers: dict[nn.Module, LayerShape],
        kernels: Kernels | Varlen | None,
        adapters: tuple[Adapter, ...] = (),
    ) -> None:
        self._model = model
        self._modules = list(layers)
        self._shapes = list(layers.values())
        self._kernels = kernels if isinstance(kernels, Kernels) else None
        self._varlen = kernels if isinstance(kernels, Varlen) else None
        self._graphs: DecodeGraphs | None = None
        self._tables = StepTables()
        self._adapters = adapters
        self._step_adapters = StepAdapters()
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
        if self._kernels is not None:
            cache = KernelCache(shape, num_blocks, block_tokens)
            return KernelAttention(self._kernels, shape, cache, self._tables)
        pool = LayerCache(shape, num_blocks, block_tokens, self.device)
        if self._varlen is not None and self._varlen.takes(shape):
            return VarlenAttention(pool, self._varlen)
        return PagedAttention(pool)

    def attach_adapters(self, packer: Packer | None) -> None:
        """Once, after the model's products were packed, if they are."""
        attach(self._model, self._adapters, self._step_adapters, packer)
        # Packed they are there a second time.
        self._adapters = ()

    def leave_varlen(self) -> None:
        """From now on attention is made of torch's common operators, over the same cache."""
        self._varlen = None

    def run(self, batch: Batch, carry: Carry | None = None) -> Tensor:
        """Compute the batch; return the logits `[S', V]` of the places to sample.

        Some of its inputs may have to be carried over from the step before.
        """
        self._step_adapters.lay_out(batch)
        if self._graphs is not None and not batch.adapted and self._graphs.takes(batch):
            return self._graphs.run(batch, carry)
        sources = [] if carry is None else [carry.sources]
        varlen = [] if self._varlen is None else step_arrays(batch)
        arrays = [batch.input_ids, batch.positions, batch.sampled, *varlen, *sources]
        input_ids, positions, sampled, *rest = upload(arrays, self.device)
        if carry is not None:
            carry.fill(input_ids, rest.pop())
        self._lay_out(batch, make_step(batch, rest) if rest else None)
        return self._forward(input_ids, positions, sampled)

    def _forward(self, input_ids: Tensor, positions: Tensor, sampled: Tensor | None) -> Tensor:
        """The logits of the places `sampled`; of all, without."""
        is_sliced = self._can_slice and sampled is not None
        arguments: dict[str, Any] = {"logits_to_keep": sampled} if is_sliced else {}
        output = self._model(
            input_ids=input_ids.unsqueeze(0),
            position_ids=positions.unsqueeze(0),
            use_cache=False,
            **arguments,
        )
        logits: Tensor = output.logits[0]
        return logits if is_sliced or sampled is None else logits.index_select(0, sampled)

    def record(self, recorder: Recorder, sizes: list[int], room: Room) -> None:
        """From now on batches of one token a row are replayed. Raises LoadError, or what `recorder` raises;
        then all stays as it was.

        For layers that attend by a `Varlen` only: no other attention has the same shapes in each step.
        """
        if not all(isinstance(attention, VarlenAttention) for attention in self._attentions):
            raise LoadError("not all its layers attend by varlen_attn")
        self._step_adapters.clear()
        self._graphs = DecodeGraphs(self._decode, recorder, sizes, room)

    def _decode(self, input_ids: Tensor, positions: Tensor, step: VarlenStep) -> Tensor:
        for attention in self._attentions:
            assert isinstance(attention, VarlenAttention)
            attention.layout, attention.step = None, step
        return self._forward(input_ids, positions, None)

    def _lay_out(self, batch: Batch, step: VarlenStep | None) -> None:
        if self._kernels is not None:
            self._tables.lay_out(batch)
            return
        layout = Layout(batch, self._shapes[0].dtype, self.device)
        for attention in self._attentions:
            assert isinstance(attention, PagedAttention)
            attention.layout = layout
            if isinstance(attention, VarlenAttention):
                attention.step = step

    def erase(self, blocks: list[int]) -> None:
        """Forget what is in these blocks: what is no number must not reach their next owner."""
        for attention in self._attentions:
            attention.cache.erase(blocks)
