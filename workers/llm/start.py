"""From settings to the parts of an engine that is ready to run."""

import logging
from typing import NamedTuple

import torch

from config.settings import ModelSettings
from workers.errors import LoadError
from workers.llm import memory
from workers.llm.blocks import BlockAllocator
from workers.llm.cache import LayerShape
from workers.llm.intake import Intake
from workers.llm.kernels.build import BuildError
from workers.llm.kernels.library import Kernels, kernels_for
from workers.llm.load import LoadedModel, load
from workers.llm.probe import find_layers
from workers.llm.runner import Runner
from workers.llm.scheduler import Bounds, Scheduler
from workers.llm.selfcheck import CHUNKS, check_chunks
from workers.messages import Limits

log = logging.getLogger(__name__)


class Parts(NamedTuple):
    runner: Runner
    allocator: BlockAllocator
    scheduler: Scheduler
    intake: Intake
    limits: Limits


@torch.inference_mode()
def start(name: str, settings: ModelSettings) -> Parts:
    """Load the model, make its cache and check that they work together. Raises LoadError."""
    loaded = load(settings)
    layers = find_layers(loaded.model)
    runner = Runner(
        loaded.model, layers, _kernels(name, settings, list(layers.values()), loaded.model.device)
    )
    num_blocks = _num_blocks(loaded, settings, runner.token_bytes)
    runner.make_cache(num_blocks, settings.block_tokens)
    log.info("cache made", extra={"model": name, "blocks": num_blocks, "bytes": runner.cache_bytes})
    num_tokens = num_blocks * settings.block_tokens
    if num_tokens >= sum(CHUNKS):
        check_chunks(loaded.model, runner, settings.block_tokens)
    # What the model can take, or what the cache can hold where that is less.
    max_model_len = min(loaded.max_model_len or num_tokens, num_tokens)
    intake = Intake(name, loaded, max_model_len)
    allocator = BlockAllocator(num_blocks)
    bounds = Bounds(settings.max_num_seqs, settings.max_batched_tokens, settings.block_tokens)
    limits = _limits(loaded, max_model_len, settings, intake.has_chat_template)
    return Parts(runner, allocator, Scheduler(allocator, bounds), intake, limits)


def _kernels(
    name: str, settings: ModelSettings, shapes: list[LayerShape], device: torch.device
) -> Kernels | None:
    """Our own, where they know all that the model asks for, and there is a compiler."""
    dtypes = {shape.dtype for shape in shapes}
    if settings.kernels == "off" or device.type != "cpu" or len(dtypes) != 1:
        return None
    try:
        return kernels_for(dtypes.pop())
    except BuildError as error:
        log.warning("no kernels: torch's own operators do it", extra={"model": name, "error": str(error)})
        return None


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


def _limits(
    loaded: LoadedModel, max_model_len: int, settings: ModelSettings, has_chat_template: bool
) -> Limits:
    return Limits(
        max_model_len, settings.max_num_seqs, loaded.vocab_size, has_chat_template, loaded.description
    )
