"""From settings to the parts of an engine that is ready to run."""

import logging
from typing import NamedTuple

import torch

from config.settings import ModelSettings
from workers.errors import LoadError
from workers.llm import memory
from workers.llm.blocks import BlockAllocator
from workers.llm.intake import Intake
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
    runner = Runner(loaded.model, find_layers(loaded.model))
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
