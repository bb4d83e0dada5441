"""Training a model of torch: updates, and checkpoints that a killed run leaves whole."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch

from workers.embedded.training.schedule import Done, Schedule, advance, nothing_done

# transformers' annotations hide what these classes can do.
Model: TypeAlias = Any
CLIP = 1.0


def adam(groups: list[dict[str, Any]], schedule: Schedule, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW over groups of weights, each with its `weight_decay` and, if it learns more slowly, `scale`."""
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=betas, fused=True)


def train(
    model: Model,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    loss_of: Callable[[int], tuple[torch.Tensor, int]],
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Done:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the schedule's end.

    `loss_of` returns a step's loss, in nats, and the tokens that it read.
    """
    done = nothing_done()
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    model.train()

    def take_step(step: int) -> tuple[float, int]:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step) * group.get("scale", 1.0)
        loss, num_tokens = loss_of(step)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item()), num_tokens

    def save(done: Done) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}
        fresh = checkpoint.with_suffix(".new")
        torch.save(state, fresh)
        fresh.replace(checkpoint)

    return advance(schedule, done, take_step, save, log, stop_at)
