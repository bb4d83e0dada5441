"""How long and how fast a training learns, and the loop around its steps.

Every step is a function of its number, so a run that was broken off goes on from its last checkpoint
as if it never had been.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOG_EVERY = 50
# `{"step", "seconds", "loss", "tokens"}`: steps done, time and tokens of all runs, smoothed loss.
Done = dict[str, Any]


@dataclass(frozen=True)
class Schedule:
    """Learning rates: a linear warm-up, a plateau, then a cosine down to `floor` of the plateau.

    `warmup` and `save_every` are steps; `decay` is the share of the steps that the cosine takes.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 100
    decay: float = 1.0
    floor: float = 0.02
    save_every: int = 250

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        start = max(self.warmup, self.steps * (1 - self.decay))
        share = min(1.0, max(0.0, (step - start) / max(1.0, self.steps - start)))
        return self.learning_rate * (self.floor + (1 - self.floor) * (0.5 + 0.5 * math.cos(math.pi * share)))


def nothing_done() -> Done:
    """What stands before the first step."""
    return {"step": 0, "seconds": 0.0, "loss": math.nan, "tokens": 0}


def advance(
    schedule: Schedule,
    done: Done,
    take_step: Callable[[int], tuple[float, int]],
    save: Callable[[Done], None],
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Done:
    """Take the steps that are left, up to `stop_at` or the schedule's end; returns what is done then.

    `take_step` makes one update and returns the loss before it and the tokens that it read.
    """
    last = min(schedule.steps, stop_at or schedule.steps)
    started = time.monotonic() - done["seconds"]
    while (step := done["step"]) < last:
        loss, num_tokens = take_step(step)
        smooth = loss if math.isnan(done["loss"]) else 0.98 * done["loss"] + 0.02 * loss
        seconds, tokens = time.monotonic() - started, done["tokens"] + num_tokens
        done = {"step": step + 1, "seconds": seconds, "loss": smooth, "tokens": tokens}
        if done["step"] % LOG_EVERY == 0:
            spent = f"{loss:.4f} (smoothed {smooth:.4f}) after {seconds:.0f} s"
            log(f"step {step + 1}/{schedule.steps} loss {spent}")
        if done["step"] % schedule.save_every == 0 or done["step"] == last:
            save(done)
    return done
