"""The training loop: every step is a function of its number, so a resumed run equals an unbroken one."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from workers.embedded.training.start import begin


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn; `warmup` and `decay` are steps and a share of the steps."""

    steps: int
    batch_tokens: int = 1024
    row_tokens: int = 256
    # Every so many steps the rows have the full context length, for chats of many turns.
    long_every: int = 8
    long_row_tokens: int = 1024
    learning_rate: float = 1.5e-3
    warmup: int = 100
    decay: float = 0.35
    weight_decay: float = 0.1
    clip: float = 1.0
    save_every: int = 250
    seed: int = 20

    def rate(self, step: int) -> float:
        """Learning rate: a linear warm-up, a plateau, then a cosine down to a fiftieth."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        start = self.steps * (1 - self.decay)
        if step < start:
            return self.learning_rate
        share = (step - start) / max(1.0, self.steps - start)
        return self.learning_rate * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share))))


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
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.95), fused=True)


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


def take_step(
    model: LlamaForCausalLM, optimizer: torch.optim.AdamW, rows: torch.Tensor, plan: Plan, step: int
) -> float:
    """One update on these rows; returns the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step)
    loss = loss_of(model, rows)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """The state on disk, whole or not at all: a killed run leaves the last good one."""
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def train(
    model: LlamaForCausalLM,
    tokens: NDArray[np.uint16],
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> dict[str, Any]:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the end of the plan.

    Returns `{"step", "seconds", "loss"}`: steps done, time spent in all runs, smoothed loss.
    """
    optimizer = make_optimizer(model, plan)
    done: dict[str, Any] = {"step": 0, "seconds": 0.0, "loss": math.nan}
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    model.train()
    started = time.monotonic() - done["seconds"]
    while done["step"] < min(plan.steps, stop_at or plan.steps):
        step = done["step"]
        loss = take_step(model, optimizer, batch(tokens, plan, step), plan, step)
        smooth = loss if math.isnan(done["loss"]) else 0.98 * done["loss"] + 0.02 * loss
        done = {"step": step + 1, "seconds": time.monotonic() - started, "loss": smooth}
        if done["step"] % 50 == 0:
            spent = f"{loss:.4f} (smoothed {smooth:.4f}) after {done['seconds']:.0f} s"
            log(f"step {step + 1}/{plan.steps} loss {spent}")
        if done["step"] % plan.save_every == 0 or done["step"] in (plan.steps, stop_at):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
            save_checkpoint(checkpoint, state)
    return done
