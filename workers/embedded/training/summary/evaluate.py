"""What the trained model can do, measured on documents that the training never contained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from workers.embedded.training.grammar import sentences
from workers.embedded.training.seq2seq import load, respond
from workers.embedded.training.summary.extracts import draw_extract, lead
from workers.embedded.training.summary.reports import Report, draw_report
from workers.embedded.training.summary.rouge import rouge_l, words
from workers.embedded.training.texts import read_blocks, values

SEED, SIZE = 515_151, 300
OUTSIDE = values(read_blocks("outside")[0], "text")


@dataclass(frozen=True)
class Scores:
    """Over reports, 0 to 1, but `compression`: letters of a text for each of its summary."""

    size: int
    rouge: float
    rouge_of_lead: float
    exact: float
    facts_right: float
    names_invented: float
    compression: float


@dataclass(frozen=True)
class Copying:
    """Over texts of no known kind: whose words all come from the source, and that repeat a sentence of it."""

    size: int
    all_words_from_source: float
    is_a_sentence: float
    is_the_lead: float
    compression: float


@dataclass(frozen=True)
class Evaluation:
    """All that the model card tells."""

    seen: Scores
    new: Scores
    extracts: Copying
    outside: Copying
    by_kind: dict[str, float]
    samples: list[tuple[str, str]]


def _has_facts(report: Report, said: str) -> bool:
    return all(fact.lower() in said.lower() for fact in report.facts)


def _names(text: str) -> list[str]:
    """The words with a capital that do not begin a sentence, and all numbers."""
    return [
        word
        for sentence in sentences(text)
        for word in sentence.rstrip(".!?").split()[1:]
        if word[0].isupper() or any(sign.isdigit() for sign in word)
    ]


def _invented(text: str, said: str) -> list[bool]:
    """For each name of a summary, whether its source lacks it."""
    return [name.strip(".,") not in text for name in _names(said)]


def report_scores(reports: Sequence[Report], said: Sequence[str]) -> Scores:
    """The shares over these reports and what the model said of them."""
    both = list(zip(reports, said, strict=True))
    invented = [one for report, text in both for one in _invented(report.text, text)]
    leads = [rouge_l(lead(sentences(report.text)), report.summary) for report in reports]
    return Scores(
        len(both),
        _mean([rouge_l(text, report.summary) for report, text in both]),
        _mean(leads),
        _mean([text == report.summary for report, text in both]),
        _mean([_has_facts(report, text) for report, text in both]),
        _mean(invented),
        _mean([len(report.text) / max(1, len(text)) for report, text in both]),
    )


def copying(texts: Sequence[str], leads: Sequence[str], said: Sequence[str]) -> Copying:
    """The shares over these texts."""
    rows = list(zip(texts, leads, said, strict=True))
    return Copying(
        len(rows),
        _mean([set(words(summary)) <= set(words(text)) for text, _, summary in rows]),
        _mean([summary.strip() in text for text, _, summary in rows]),
        _mean([summary.strip() == first for _, first, summary in rows]),
        _mean([len(text) / max(1, len(summary)) for text, _, summary in rows]),
    )


def _mean(values_: Sequence[float]) -> float:
    return sum(values_) / max(1, len(values_))


def reports(new: bool, size: int = SIZE) -> list[Report]:
    """Held-out reports: names of their own, and with `new` in wordings that the training never has."""
    dice = Random(SEED + new)
    return [draw_report(dice, new) for _ in range(size)]


def evaluate(folder: Path, log: Callable[[str], None] = print, size: int = SIZE) -> Evaluation:
    """Measures the model in this folder; about three minutes on one thread."""
    model, tokenizer = load(folder)
    known, worded = reports(False, size), reports(True, size)
    said = [respond(model, tokenizer, [one.text for one in some]) for some in (known, worded)]
    seen, new = report_scores(known, said[0]), report_scores(worded, said[1])
    log(f"known wordings: {seen}\nnew wordings: {new}")
    dice = Random(SEED + 2)
    pairs = [draw_extract(dice) for _ in range(size)]
    copied = respond(model, tokenizer, [text for text, _ in pairs])
    extracts = copying([text for text, _ in pairs], [first for _, first in pairs], copied)
    abroad = respond(model, tokenizer, OUTSIDE)
    outside = copying(OUTSIDE, [lead(sentences(text)) for text in OUTSIDE], abroad)
    log(f"any text: {extracts}\noutside: {outside}")
    samples = [(one.text, text) for one, text in zip(worded[:4], said[1][:4], strict=True)]
    samples += list(zip(OUTSIDE[:4], abroad[:4], strict=True))
    return Evaluation(seen, new, extracts, outside, _by_kind(worded, said[1]), samples)


def _by_kind(some: Sequence[Report], said: Sequence[str]) -> dict[str, float]:
    groups: dict[str, list[bool]] = {}
    for report, text in zip(some, said, strict=True):
        groups.setdefault(report.kind, []).append(_has_facts(report, text))
    return {kind: _mean(rows) for kind, rows in sorted(groups.items())}
