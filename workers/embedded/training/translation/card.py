"""The model card of the translation model."""

from pathlib import Path

from workers.embedded.training.folder import record_of
from workers.embedded.training.seq2seq_card import shape_of
from workers.embedded.training.seq2seq_card import write_card as write
from workers.embedded.training.translation.evaluate import NEAR, SIZE, Evaluation, Scores
from workers.embedded.training.translation.heldout import RARE_MAY, SHARE_PAIRS, SHARE_WORDS
from workers.embedded.training.translation.lexicon import ADJECTIVES, NOUNS, PHRASES, VERBS
from workers.embedded.training.translation.plan import MAX_TOKENS, PLAN
from workers.embedded.training.translation.sentences import PATTERNS

_LABELS = {
    "seen": "new sentences of known pairs of words",
    "pair": "a pair of words that never met in training (held out)",
    "strict": "a word in a pattern where training never had it (held out)",
}


def _row(label: str, one: Scores) -> str:
    return f"| {label} | {one.exact:.1%} | {one.near:.1%} | {one.similarity:.3f} |"


def _pattern_row(label: str, one: Scores) -> str:
    return f"| {label} | {one.size} | {one.exact:.0%} | {one.near:.0%} |"


def write_card(folder: Path, work: Path, evaluation: Evaluation) -> None:
    """Writes README.md beside the weights from what was trained and measured."""
    said = (f"> {en}  \n> *{de}*" for en, de in evaluation.samples)
    wrong = (f"> {en}  \n> *{de}*, wanted: *{wanted}*" for en, de, wanted in evaluation.mistakes)
    figures = {
        **shape_of(folder),
        **record_of(folder, work),
        "nouns": len(NOUNS),
        "verbs": len(VERBS),
        "adjectives": len(ADJECTIVES),
        "phrases": len(PHRASES),
        "patterns": len(PATTERNS),
        "limit": MAX_TOKENS,
        "drills": PLAN.drills,
        "primer": PLAN.primer,
        "share_pairs": SHARE_PAIRS,
        "share_words": SHARE_WORDS,
        "rare_may": ", ".join(f"*{name}*" for name in sorted(RARE_MAY)),
        "near": NEAR,
        "size": SIZE,
        "names": evaluation.names_copied,
        "table": "\n".join(_row(_LABELS[kind], one) for kind, one in evaluation.by_kind.items()),
        "patterns_table": "\n".join(_pattern_row(*row) for row in evaluation.by_pattern.items()),
        "samples": "\n\n".join(said),
        "mistakes": "\n\n".join(wrong),
    }
    write(folder, Path(__file__).parent / "card.md", figures)
