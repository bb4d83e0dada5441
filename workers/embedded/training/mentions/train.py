"""The training loop: every step is a function of its number, so a resumed run goes on as it would have."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from thinc.api import Adam, fix_random_seed

from workers.embedded.training.mentions.corpus import fresh, measured, sample
from workers.embedded.training.mentions.heldout import Kept
from workers.embedded.training.mentions.model import Pipeline, forget, gold
from workers.embedded.training.schedule import Done, Schedule, advance, nothing_done


@dataclass(frozen=True)
class Plan(Schedule):
    """How long and how fast to learn."""

    batch: int = 64
    learning_rate: float = 2e-3
    decay: float = 0.5
    dropout: float = 0.2
    seed: int = 5


def train(
    nlp: Pipeline,
    plan: Plan,
    checkpoint: Path,
    log: Callable[[str], None] = print,
    stop_at: int | None = None,
) -> Done:
    """Trains from the checkpoint, if there is one, up to `stop_at` or the end of the plan.

    The pipeline ends with the mean of its weights over time, once the plan is done. Raises
    RuntimeError if a text shows what is held out.
    """
    optimizer, kept = Adam(plan.learning_rate, use_averages=True), Kept((*measured(), *fresh()))
    done = _resume(nlp, optimizer, checkpoint) if checkpoint.exists() else nothing_done()

    def take_step(step: int) -> tuple[float, int]:
        return _take_step(nlp, optimizer, plan, step, kept)

    def save(done: Done) -> None:
        _save(nlp, optimizer, done, checkpoint)

    done = advance(plan, done, take_step, save, log, stop_at)
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


def _save(nlp: Pipeline, optimizer: Any, done: Done, path: Path) -> None:
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


def _resume(nlp: Pipeline, optimizer: Any, path: Path) -> Done:
    state = pickle.loads(path.read_bytes())
    nlp.from_bytes(state["weights"], exclude=["vocab"])
    for key, name in _weights(nlp):
        if name in state["optimizer"]:
            first, second, mean, updates = state["optimizer"][name]
            optimizer.mom1[key], optimizer.mom2[key], optimizer.averages[key] = first, second, mean
            optimizer.nr_update[key] = updates
    done: Done = state["done"]
    return done


def _take_means(nlp: Pipeline, optimizer: Any) -> None:
    with nlp.use_params(optimizer.averages):
        means = nlp.to_bytes(exclude=["vocab"])
    nlp.from_bytes(means, exclude=["vocab"])
