"""The model card: what the model is, how it was made, what was measured, what it cannot do."""

import json
from pathlib import Path
from typing import Any

from workers.embedded.training.evaluate import (
    MAX_NEW_TOKENS,
    NUM_NEW_DOCUMENTS,
    NUM_PAIR_DOCUMENTS,
    Evaluation,
    Figures,
)
from workers.embedded.training.folder import record_of, weights_of
from workers.embedded.training.heldout import NAMED_PAIRS, STORY_WORDINGS
from workers.embedded.training.plots import PLOTS
from workers.embedded.training.prompts import held_out_prompts

_CARD = Path(__file__).parent / "texts" / "card.md"


_ROWS = (
    ("end with an end token", "ended"),
    ("repeat no sentence", "no_repeat"),
    ("both of these", "clean"),
    ("stories that name both things asked for", "stories_met"),
    ("questions answered to the point", "questions_met"),
)


def _table(greedy: Figures, sampled: Figures) -> str:
    rows = [f"| {label} | {getattr(greedy, key):.1%} | {getattr(sampled, key):.1%} |" for label, key in _ROWS]
    rows.append(f"| tokens per answer | {greedy.mean_tokens:.0f} | {sampled.mean_tokens:.0f} |")
    return "\n".join(rows)


def _samples(samples: list[tuple[str, str]]) -> str:
    return "\n\n".join(f"**{asked}**\n\n" + _quoted(said) for asked, said in samples)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}  " if line else ">" for line in text.splitlines())


def _shape(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    return {
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "vocabulary": config["vocab_size"],
        "context": config["max_position_embeddings"],
    } | weights_of(folder)._asdict()


def _prompts() -> dict[str, Any]:
    prompts = held_out_prompts()
    num_stories = sum(prompt.is_story for prompt in prompts)
    return {
        "prompts": len(prompts),
        "stories": num_stories,
        "questions": len(prompts) - num_stories,
        "worded": len(NAMED_PAIRS) * len(STORY_WORDINGS),
        "limit": MAX_NEW_TOKENS,
        "num_new": NUM_NEW_DOCUMENTS,
        "num_pairs": NUM_PAIR_DOCUMENTS,
    }


def write_card(folder: Path, work: Path, evaluation: Evaluation) -> None:
    """Writes README.md beside the weights from what was trained and measured."""
    record = record_of(folder, work)
    card = _CARD.read_text(encoding="utf-8").format(
        **_shape(folder),
        **_prompts(),
        **record,
        batch=record["tokens"] // record["steps"],
        table=_table(evaluation.greedy, evaluation.sampled),
        new=evaluation.perplexity_new,
        pairs=evaluation.perplexity_pairs,
        samples=_samples(evaluation.samples),
        plots=len(PLOTS),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
