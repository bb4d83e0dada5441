"""From a loaded model to one with a cache, checked, and as quick as this machine has means for."""

import logging
from typing import NamedTuple

import torch
from msgspec.structs import replace

from config.settings import ModelSettings
from workers.errors import LoadError
from workers.llm.attention.cache import LayerShape
from workers.llm.attention.varlen import Varlen, find_varlen
from workers.llm.kernels.build import BuildError
from workers.llm.kernels.library import Kernels, kernels_for
from workers.llm.kernels.packing import packed_sizes
from workers.llm.kernels.swap import optimise
from workers.llm.kernels.trial import make_batch
from workers.llm.loading import memory
from workers.llm.loading.expected import expected_logits
from workers.llm.loading.load import LoadedModel
from workers.llm.loading.probe import find_layers
from workers.llm.loading.selfcheck import CHUNKS, check_adapter, check_chunks
from workers.llm.steps.graphs import Room, cuda_recorder, row_sizes
from workers.llm.steps.runner import Runner

log = logging.getLogger(__name__)

# Of 16 keys, or a multiple, the kernels make the most; and less is lost in blocks that are not full.
BLOCK_TOKENS = 16


class Prepared(NamedTuple):
    """The cache has so many blocks of so many tokens."""

    runner: Runner
    num_blocks: int
    block_tokens: int


def prepare(name: str, loaded: LoadedModel, settings: ModelSettings) -> Prepared | None:
    """None where it works without our kernels at best. Raises LoadError."""
    layers = find_layers(loaded.model)
    kernels = _kernels(name, settings, list(layers.values()), loaded.model.device)
    settings = replace(settings, block_tokens=_block_tokens(settings, kernels))
    runner = Runner(loaded.model, layers, kernels, loaded.adapters)
    if not isinstance(kernels, Kernels):
        runner.attach_adapters(None)
    num_blocks = _num_blocks(loaded, settings, runner.token_bytes)
    has_graphs = settings.cuda_graphs and isinstance(kernels, Varlen)
    # The last is nobody's: padding rows write there.
    runner.make_cache(num_blocks + has_graphs, settings.block_tokens)
    made = Prepared(runner, num_blocks, settings.block_tokens)
    sizes = {"blocks": num_blocks, "block_tokens": made.block_tokens, "bytes": runner.cache_bytes}
    log.info("cache made", extra={"model": name, **sizes})
    try:
        _settle(loaded, runner, kernels, num_blocks * settings.block_tokens, settings.block_tokens)
    except Exception as error:
        if kernels is None:
            raise
        log.warning("not with kernels", extra={"model": name, "error": " ".join(str(error).split())})
        if isinstance(kernels, Kernels):
            return None
        # Nothing in the model was swapped, and the cache is the same.
        runner.leave_varlen()
        runner.erase(list(range(-(-sum(CHUNKS) // settings.block_tokens))))
        _settle(loaded, runner, None, num_blocks * settings.block_tokens, settings.block_tokens)
        has_graphs = False
    if isinstance(kernels, Kernels):
        log.info("weights packed", extra={"model": name, **packed_sizes(loaded.model)})
    if has_graphs:
        _record(name, loaded, settings, made)
    return made


def _record(name: str, loaded: LoadedModel, settings: ModelSettings, made: Prepared) -> None:
    """Where decode steps cannot be recorded, each is given to the device operation by operation."""
    runner, num_blocks, block_tokens = made
    longest = -(-loaded.max_model_len // block_tokens) or num_blocks
    room = Room(min(longest, num_blocks), block_tokens, num_blocks, runner.device)
    try:
        runner.record(cuda_recorder(runner.device), row_sizes(settings.max_num_seqs), room)
    except Exception as error:
        log.warning("no cuda graphs", extra={"model": name, "error": " ".join(str(error).split())})


def _settle(
    loaded: LoadedModel,
    runner: Runner,
    kernels: Kernels | Varlen | None,
    num_tokens: int,
    block_tokens: int,
) -> None:
    expected = expected_logits(loaded.model)
    if isinstance(kernels, Kernels):
        longest = min(loaded.max_model_len or num_tokens, num_tokens)
        optimise(loaded.model, runner, kernels, make_batch(loaded.vocab_size, longest, block_tokens))
    if num_tokens >= sum(CHUNKS):
        check_chunks(loaded.model, runner, block_tokens, expected)
        for number, adapter in enumerate(loaded.adapters, 1):
            check_adapter(loaded.model, runner, block_tokens, (number, adapter))


def _kernels(
    name: str, settings: ModelSettings, shapes: list[LayerShape], device: torch.device
) -> Kernels | Varlen | None:
    """What attends sooner than torch's common operators on this device, for what the model asks."""
    if settings.kernels == "off":
        return None
    if device.type != "cpu":
        return _varlen(name, settings, shapes, device)
    dtypes = {shape.dtype for shape in shapes}
    if len(dtypes) != 1:
        return None
    try:
        return kernels_for(dtypes.pop())
    except BuildError as error:
        log.warning("no kernels: torch's own operators do it", extra={"model": name, "error": str(error)})
        return None


def _varlen(
    name: str, settings: ModelSettings, shapes: list[LayerShape], device: torch.device
) -> Varlen | None:
    varlen = find_varlen(device)
    if varlen is None or not any(varlen.takes(shape) for shape in shapes):
        return None
    if settings.block_tokens % varlen.page_tokens:
        what = f"block_tokens {settings.block_tokens} is no multiple of {varlen.page_tokens}"
        log.warning("no attention by varlen_attn", extra={"model": name, "error": what})
        return None
    return varlen


def _block_tokens(settings: ModelSettings, kernels: Kernels | Varlen | None) -> int:
    """As the settings say; where they leave it open, as what attends likes it best."""
    best = kernels.page_tokens if isinstance(kernels, Varlen) else BLOCK_TOKENS
    return settings.block_tokens or best


def _num_blocks(loaded: LoadedModel, settings: ModelSettings, token_bytes: int) -> int:
    block_bytes = token_bytes * settings.block_tokens
    num_bytes = settings.cache_bytes or memory.cache_bytes(loaded.model.device)
    num_blocks = num_bytes // block_bytes
    if not num_blocks:
        raise LoadError(f'cache_bytes {num_bytes} < {block_bytes} (one block of model "{settings.path}")')
    if loaded.max_model_len:
        # More than all sequences at full length can never be used.
        num_longest = -(-loaded.max_model_len // settings.block_tokens)
        num_blocks = min(num_blocks, settings.max_num_seqs * num_longest)
    return num_blocks
