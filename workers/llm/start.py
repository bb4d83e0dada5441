"""From settings to the parts of an engine that is ready to run."""

import logging
from typing import NamedTuple

import torch
from msgspec.structs import replace

from config.settings import ModelSettings
from workers.llm.answers.reading import MAX_READ_NUMBERS
from workers.llm.intake.intake import Intake
from workers.llm.loading.load import load
from workers.llm.loading.prepare import prepare
from workers.llm.scheduling.blocks import BlockAllocator
from workers.llm.scheduling.chunks import Bounds
from workers.llm.scheduling.scheduler import Scheduler
from workers.llm.steps.ahead import Flights
from workers.llm.steps.runner import Runner
from workers.messages import Limits

log = logging.getLogger(__name__)


class Parts(NamedTuple):
    runner: Runner
    allocator: BlockAllocator
    scheduler: Scheduler
    flights: Flights
    intake: Intake
    limits: Limits


@torch.inference_mode()
def start(name: str, settings: ModelSettings) -> Parts:
    """Load the model, make its cache and check that they work together. Raises LoadError."""
    loaded = load(settings)
    description = loaded.description
    prepared = prepare(name, loaded, settings)
    if prepared is None:
        # What was swapped in it is not undone.
        prepared = prepare(name, loaded := load(settings), replace(settings, kernels="off"))
        assert prepared is not None
    runner, num_blocks, block_tokens = prepared
    num_tokens = num_blocks * block_tokens
    # What the model can take, or what the cache can hold where that is less.
    max_model_len = min(loaded.max_model_len or num_tokens, num_tokens)
    intake = Intake(name, loaded, max_model_len)
    allocator = BlockAllocator(num_blocks)
    bounds = Bounds(
        settings.max_num_seqs,
        settings.max_batched_tokens,
        block_tokens,
        settings.max_slowdown,
        settings.prefix_cache,
        settings.num_draft_tokens if settings.speculation == "prompt_lookup" else 0,
        max(1, MAX_READ_NUMBERS // loaded.vocab_size),
    )
    limits = Limits(
        max_model_len, settings.max_num_seqs, loaded.vocab_size, intake.has_chat_template, description
    )
    scheduler = Scheduler(allocator, bounds)
    flights = Flights(runner, scheduler, block_tokens, is_ahead=_is_ahead(settings, runner.device))
    return Parts(runner, allocator, scheduler, flights, intake, limits)


def _is_ahead(settings: ModelSettings, device: torch.device) -> bool:
    """Drafts are made of the tokens before them, so the host has to know these."""
    is_wanted = settings.step_ahead == "on" or (settings.step_ahead == "auto" and device.type == "cuda")
    return is_wanted and settings.speculation == "off"
