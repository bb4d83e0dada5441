"""A chunked dataset processor: figures of every chunk while it is read, and of the whole at the end.

Serve it with an `[models.tasks]` table of `engine = "tasks"`, `path = "examples/dataset.py"`, then

    curl -N http://127.0.0.1:8080/tasks/dataset -H 'Content-Type: application/json' \
        -d '{"csv": "city,people\\nUlm,128\\nBonn,331", "chunk_size": 1}'
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from statistics import fmean, pstdev
from typing import Annotated, Any

from msgspec import Meta, Struct

from workers.tasks import Context, task

ChunkSize = Annotated[int, Meta(ge=1, le=10_000)]
WORD = re.compile(r"\w+")
STOP_WORDS = "a an and are as at be by for from in is it of on or that the this to was with"


class DatasetParams(Struct):
    """Numbers, or the rows of a CSV text with a header; exactly one of the two."""

    values: Annotated[list[float], Meta(min_length=1)] | None = None
    csv: Annotated[str, Meta(min_length=1)] | None = None
    chunk_size: ChunkSize = 100

    def __post_init__(self) -> None:
        if (self.values is None) == (self.csv is None):
            raise ValueError("send either values or csv")

    def lines(self) -> list[str]:
        """Of a CSV text, in both cases."""
        if self.csv is not None:
            return self.csv.splitlines(keepends=True)
        return ["value", *map(str, self.values or ())]


class Figures(Struct):
    count: int
    mean: float
    deviation: float
    min: float
    max: float


@task("dataset", params=DatasetParams)
def dataset(params: DatasetParams, context: Context) -> Iterator[Any]:
    """Figures of each column, chunk by chunk, then of the whole."""
    lines = params.lines()
    rows = csv.DictReader(lines, restval="")
    whole: dict[str, Figures] = {}
    num_rows = 0
    while chunk := list(islice(rows, params.chunk_size)):
        num_rows += len(chunk)
        figures = {
            name: measure(column) for name in rows.fieldnames or () if (column := numbers(chunk, name))
        }
        for name, part in figures.items():
            whole[name] = merge(whole[name], part) if name in whole else part
        context.progress(rows.line_num, len(lines))
        yield {"rows": num_rows, "figures": figures}
    context.progress(len(lines), len(lines))
    yield {"rows": num_rows, "total": whole}


def numbers(rows: list[dict[str, str]], name: str) -> list[float]:
    """What one column has of them; words and empty places are left out."""
    column = []
    for row in rows:
        try:
            value = float(row[name])
        except ValueError:
            continue
        if math.isfinite(value):
            column.append(value)
    return column


def measure(column: list[float]) -> Figures:
    return Figures(len(column), fmean(column), pstdev(column), min(column), max(column))


def merge(a: Figures, b: Figures) -> Figures:
    """The figures of both together, as if their numbers had been kept."""
    count = a.count + b.count
    mean = (a.mean * a.count + b.mean * b.count) / count
    squares = sum(part.count * (part.deviation**2 + (part.mean - mean) ** 2) for part in (a, b))
    return Figures(count, mean, math.sqrt(squares / count), min(a.min, b.min), max(a.max, b.max))


class WordsParams(Struct):
    text: Annotated[str, Meta(min_length=1, max_length=1_000_000)]
    chunk_size: ChunkSize = 200
    top: Annotated[int, Meta(ge=1, le=100)] = 5


def load_stop_words() -> frozenset[str]:
    """Stands for a model: it is loaded once in each worker."""
    return frozenset(STOP_WORDS.split())


@task("words", params=WordsParams, setup=load_stop_words)
def words(params: WordsParams, context: Context) -> Iterator[Any]:
    """The most frequent words of a text so far, after every chunk of it."""
    total = sum(1 for _ in WORD.finditer(params.text))
    found = (match[0].lower() for match in WORD.finditer(params.text))
    counts, done = Counter[str](), 0
    while chunk := list(islice(found, params.chunk_size)):
        counts.update(word for word in chunk if word not in context.state)
        done += len(chunk)
        context.progress(done, total)
        yield {"words": done, "top": counts.most_common(params.top)}
