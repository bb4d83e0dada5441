"""The language model's plan, batches and loss."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from workers.embedded.training import descent
from workers.embedded.training.descent import adam
from workers.embedded.training.schedule import Done, Schedule
from workers.embedded.training.start import begin


@dataclass(frozen=True)
class Plan(Schedule):
    """How long and how fast to learn."""

    batch_tokens: int = 1024
    row_tokens: int = 256
    # Every so many steps the rows have the full context length, for chats of many turns.
    long_every: int = 8
    long_row_tokens: int = 1024
    learning_rate: float = 1.5e-3
    decay: float = 0.35
    weight_decay: float = 0.1
    seed: int = 20


def build_model(config: LlamaConfig, seed: int) -> LlamaForCausalLM:
    """A fresh float32 model; the seed fixes its weights."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    begin(model)
    return model


def make_optimizer(model: LlamaForCausalLM, plan: Plan) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves norms alone."""
    weights = [p for p in model.parameters() if p.ndim >= 2]
    norms = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": plan.weight_decay}, {"params": norms, "weight_decay": 0.0}]
    return adam(groups, plan, (0.9, 0.95))


def batch(tokens: NDArray[np.uint16], plan: Plan, step: int) -> torch.Tensor:
    """The rows of one step, [B, S] int64: the next stretch of the text, never seen before."""
    rows = plan.long_row_tokens if step % plan.long_every == plan.long_every - 1 else plan.row_tokens
    at = step * plan.batch_tokens
    stretch = tokens[at : at + plan.batch_tokens].astype(np.int64)
    return torch.from_numpy(stretch).view(-1, min(rows, plan.batch_tokens))


def loss_of(model: LlamaForCausalLM, rows: torch.Tensor) -> torch.Tensor:
    """Mean next-token loss in nats over rows [B, S], computed in bfloat16 with float32 sums."""
    # One thread, a step of 2,048 tokens: plain matrix products 0.81 s against 0.93 s of the fused
    # kernel at rows of 512, but 1.35 s against 0.99 s at rows of 1,024.
    model.config._attn_implementation = "eager" if rows.shape[1] <= 512 else "sdpa"
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=rows, use_cache=False).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1).float(), rows[:, 1:].flatten())


def train(
    model: LlamaForCausalLM,
    tokens: NDArray[np.uint16],
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Done:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the end of the plan."""

    def loss_at(step: int) -> tuple[torch.Tensor, int]:
        rows = batch(tokens, plan, step)
        return loss_of(model, rows), rows.numel()

    return descent.train(model, make_optimizer(model, plan), plan, loss_at, checkpoint, log, stop_at)
