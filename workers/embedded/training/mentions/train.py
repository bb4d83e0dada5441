"""The training loop: every step is a function of its number, so a resumed run goes on as it would have."""

import math
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from thinc.api import Adam, fix_random_seed

from workers.embedded.training.mentions.corpus import measured, sample
from workers.embedded.training.mentions.heldout import Kept
from workers.embedded.training.mentions.model import Pipeline, forget, gold


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn; `warmup` is in steps, `decay` a share of the steps."""

    steps: int
    batch: int = 64
    learning_rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.5
    dropout: float = 0.2
    save_every: int = 250
    seed: int = 5

    def rate(self, step: int) -> float:
        """Learning rate: a linear warm-up, a plateau, then a cosine down to a fiftieth."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        share = max(0.0, step / self.steps - (1 - self.decay)) / self.decay
        return self.learning_rate * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share))))


def train(
    nlp: Pipeline,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> dict[str, Any]:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the end of the plan.

    The pipeline ends with the mean of its weights over time, once the plan is done. Returns
    `{"step", "seconds", "words", "loss"}`; raises RuntimeError if a text shows what is held out.
    """
    optimizer = Adam(plan.learning_rate, use_averages=True)
    done: dict[str, Any] = {"step": 0, "seconds": 0.0, "words": 0, "loss": math.nan}
    if checkpoint.exists():
        done = _resume(nlp, optimizer, checkpoint)
    kept, end = Kept(measured()), min(plan.steps, stop_at or plan.steps)
    started = time.monotonic() - done["seconds"]
    while done["step"] < end:
        loss, words = _take_step(nlp, optimizer, plan, done["step"], kept)
        smooth = loss if math.isnan(done["loss"]) else 0.98 * done["loss"] + 0.02 * loss
        spent = time.monotonic() - started
        done = {"step": done["step"] + 1, "seconds": spent, "words": done["words"] + words, "loss": smooth}
        if done["step"] % 50 == 0:
            log(f"step {done['step']}/{plan.steps} loss {smooth:.4f} (smoothed) after {spent:.0f} s")
        if done["step"] % plan.save_every == 0 or done["step"] == end:
            _save(nlp, optimizer, done, checkpoint)
    if done["step"] == plan.steps:
        _take_means(nlp, optimizer)
    return done


def _take_step(nlp: Pipeline, optimizer: Any, plan: Plan, step: int, kept: Kept) -> tuple[float, int]:
    """One update; returns the loss per word and the number of words."""
    texts = sample(f"{plan.seed}/{step}", plan.batch)
    leaked = kept.shown_by(texts)
    if leaked:
        raise RuntimeError(f"held-out names in the training text: {sorted(leaked)}")
    fix_random_seed(plan.seed + step)
    optimizer.learn_rate = plan.rate(step)
    examples = [gold(nlp, text) for text in texts]
    dice = Random(f"forget {plan.seed}/{step}")
    for example in examples:
        forget(dice, example)
    words = sum(len(example.reference) for example in examples)
    losses = nlp.update(examples, sgd=optimizer, drop=plan.dropout)
    return losses["ner"] / words, words


def _weights(nlp: Pipeline) -> Iterator[tuple[tuple[int, str], str]]:
    """Each weight's key in this process, and a name for it that holds in every process."""
    for pipe in ("tok2vec", "ner"):
        for place, node in enumerate(nlp.get_pipe(pipe).model.walk()):
            yield from (((node.id, name), f"{pipe}/{place}/{name}") for name in node.param_names)


def _save(nlp: Pipeline, optimizer: Any, done: dict[str, Any], path: Path) -> None:
    """The state on disk, whole or not at all: a killed run leaves the last good one."""
    rows = {}
    for key, name in _weights(nlp):
        if key in optimizer.averages:
            moments = (optimizer.mom1[key], optimizer.mom2[key], optimizer.averages[key])
            rows[name] = (*moments, optimizer.nr_update[key])
    state = {"weights": nlp.to_bytes(exclude=["vocab"]), "optimizer": rows, "done": done}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(pickle.dumps(state))
    fresh.replace(path)


def _resume(nlp: Pipeline, optimizer: Any, path: Path) -> dict[str, Any]:
    state = pickle.loads(path.read_bytes())
    nlp.from_bytes(state["weights"], exclude=["vocab"])
    for key, name in _weights(nlp):
        if name in state["optimizer"]:
            first, second, mean, updates = state["optimizer"][name]
            optimizer.mom1[key], optimizer.mom2[key], optimizer.averages[key] = first, second, mean
            optimizer.nr_update[key] = updates
    done: dict[str, Any] = state["done"]
    return done


def _take_means(nlp: Pipeline, optimizer: Any) -> None:
    with nlp.use_params(optimizer.averages):
        means = nlp.to_bytes(exclude=["vocab"])
    nlp.from_bytes(means, exclude=["vocab"])
