"""The model card of the summary model."""

from pathlib import Path

from workers.embedded.training.folder import record_of
from workers.embedded.training.seq2seq_card import shape_of
from workers.embedded.training.seq2seq_card import write_card as write
from workers.embedded.training.summary.corpus import SHARE_REPORTS
from workers.embedded.training.summary.evaluate import SIZE, Copying, Evaluation, Scores
from workers.embedded.training.summary.plan import MAX_TOKENS, NO_REPEAT, PLAN
from workers.embedded.training.summary.reports import KINDS

_ROWS = (
    ("ROUGE-L (F1 over words) against the reference", "rouge", "{:.3f}"),
    ("ROUGE-L of the first sentence alone, for comparison", "rouge_of_lead", "{:.3f}"),
    ("exactly the reference", "exact", "{:.1%}"),
    ("all key facts right", "facts_right", "{:.1%}"),
    ("names and numbers that are invented", "names_invented", "{:.1%}"),
    ("letters of text for each letter of summary", "compression", "{:.1f}"),
)
_COPYING = (
    ("all words come from the text", "all_words_from_source", "{:.1%}"),
    ("a stretch of the text, letter for letter", "is_a_sentence", "{:.1%}"),
    ("exactly the first real sentence", "is_the_lead", "{:.1%}"),
    ("letters of text for each letter of summary", "compression", "{:.1f}"),
)


def _table(rows: tuple[tuple[str, str, str], ...], *columns: Scores | Copying) -> str:
    lines = (
        " | ".join([label, *(form.format(getattr(one, key)) for one in columns)]) for label, key, form in rows
    )
    return "\n".join(f"| {line} |" for line in lines)


def _sample(text: str, said: str) -> str:
    quoted = "\n".join(f"> {line}  " if line else ">" for line in text.splitlines())
    return f"{quoted}\n\n*{said}*"


def write_card(folder: Path, work: Path, evaluation: Evaluation) -> None:
    """Writes README.md beside the weights from what was trained and measured."""
    figures = {
        **shape_of(folder),
        **record_of(folder, work),
        "kinds": len(KINDS),
        "limit": MAX_TOKENS,
        "no_repeat": NO_REPEAT,
        "others": 1 - SHARE_REPORTS,
        "drills": PLAN.drills,
        "size": SIZE,
        "any_size": evaluation.extracts.size,
        "outside_size": evaluation.outside.size,
        "table": _table(_ROWS, evaluation.seen, evaluation.new),
        "copying": _table(_COPYING, evaluation.extracts, evaluation.outside),
        "by_kind": ", ".join(f"{kind} {share:.0%}" for kind, share in evaluation.by_kind.items()),
        "samples": "\n\n---\n\n".join(_sample(*one) for one in evaluation.samples),
    }
    write(folder, Path(__file__).parent / "card.md", figures)
