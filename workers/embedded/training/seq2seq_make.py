"""What `scripts/train_embedded` does for a text-to-text model: tokenizer, training, evaluation, card."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

# Before tokenizers loads: it reads this once.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from transformers import AutoTokenizer

from workers.embedded.training.descent import Model
from workers.embedded.training.flags import read_flags
from workers.embedded.training.seq2seq import build_model, export, shape, train
from workers.embedded.training.seq2seq_feed import Draw, Drill, Feed, Plan, texts
from workers.embedded.training.seq2seq_tokens import train_tokenizer

VOCABULARY, INNER = 3584, 288
_TOKENIZER_SEED = 2

say = partial(print, flush=True)


@dataclass(frozen=True)
class Recipe:
    """All that sets one model apart from another; `judge` measures a folder and writes its card."""

    folder: Path
    plan: Plan
    draw: Draw
    max_tokens: int
    max_new_tokens: int
    judge: Callable[[Path, Path], None]
    tokenizer_pairs: int
    begin: bool = False
    no_repeat: int = 0
    drill: Drill | None = None
    primer: Draw | None = None


def prepare(recipe: Recipe, work: Path) -> None:
    """The tokenizer under `work`, made only if it is not there."""
    if not (work / "tokenizer" / "tokenizer.json").exists():
        source = texts(recipe.draw, _TOKENIZER_SEED, recipe.tokenizer_pairs)
        tokenizer = train_tokenizer(source, VOCABULARY, recipe.max_tokens, recipe.begin)
        tokenizer.save_pretrained(work / "tokenizer")


def run_training(recipe: Recipe, work: Path) -> Model:
    """The trained float32 model; goes on from the checkpoint under `work`."""
    plan, tokenizer = recipe.plan, AutoTokenizer.from_pretrained(work / "tokenizer")
    model = build_model(shape(len(tokenizer), INNER), plan.seed)
    feed = Feed(recipe.draw, tokenizer, plan, recipe.drill, recipe.primer)
    done = train(model, feed, plan, work / "checkpoint.pt", say)
    report = {**done, "pairs": done["step"] * plan.batch_pairs, "threads": torch.get_num_threads()}
    (work / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return model


def run(recipe: Recipe, argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    plan = recipe.plan
    arguments = read_flags(argv, recipe.folder, plan.steps, f"{plan.batch_pairs} pairs")
    recipe = replace(recipe, plan=replace(plan, steps=arguments.steps))
    torch.set_num_threads(arguments.threads)
    if not arguments.evaluate_only:
        prepare(recipe, arguments.work)
        model = run_training(recipe, arguments.work)
        tokenizer = AutoTokenizer.from_pretrained(arguments.work / "tokenizer")
        export(model, tokenizer, arguments.out, recipe.max_new_tokens, recipe.no_repeat)
    recipe.judge(arguments.out, arguments.work)
    return 0
