"""`scripts/train_embedded entities`: text, training, evaluation, model card."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from workers.embedded import ENTITIES
from workers.embedded.training.flags import read_flags
from workers.embedded.training.mentions.corpus import check_templates
from workers.embedded.training.mentions.model import build, save
from workers.embedded.training.mentions.train import Plan, train

MODEL_SEED = 9

_say = partial(print, flush=True)


def make(plan: Plan, work: Path, out: Path) -> None:
    """Trains, or goes on from the checkpoint under `work`, and writes the pipeline's folder anew."""
    check_templates()
    nlp = build(MODEL_SEED)
    done = train(nlp, plan, work / "checkpoint.pickle", _say)
    shutil.rmtree(out, ignore_errors=True)
    save(nlp, out)
    report = {**done, "words": done["tokens"], "texts": done["step"] * plan.batch, "threads": 1}
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n")


def main(argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    arguments = read_flags(argv, ENTITIES, 2800, "64 texts")
    if not arguments.evaluate_only:
        make(Plan(steps=arguments.steps), arguments.work, arguments.out)
    # Imported late: only the last stage needs them.
    from workers.embedded.training.mentions.card import write_card
    from workers.embedded.training.mentions.judge import evaluate

    write_card(arguments.out, evaluate(arguments.out), _say)
    return 0
