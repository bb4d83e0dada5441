"""Measures the shipped pipeline: asks for the exam's pictures and counts what they show."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from workers.embedded.training.descent import Model
from workers.embedded.training.scenes import exam
from workers.embedded.training.scenes.draw import draw
from workers.embedded.training.scenes.exam import Question, questions
from workers.embedded.training.scenes.verdict import PARTS, verdict

GUIDANCE, STEPS = 3.0, 20
_AT_ONCE, _SAMPLES = 20, 8
# What the card promises of one object in new scenes.
BARS = {"colour": 0.95, "shape": 0.90}


class Figure(NamedTuple):
    """How many of the pictures whose prompt says `part` show it."""

    part: str
    right: int
    total: int

    @property
    def share(self) -> float:
        return self.right / self.total


class Sample(NamedTuple):
    """A picture, and what of its prompt it does not show."""

    prompt: str
    image: Image.Image
    wrong: tuple[str, ...]


class Result(NamedTuple):
    """What one set of the exam gave; `whole` counts the pictures in which everything is right."""

    name: str
    figures: tuple[Figure, ...]
    whole: Figure
    samples: tuple[Sample, ...]

    def share(self, part: str) -> float:
        return next(figure.share for figure in self.figures if figure.part == part)


class Evaluation(NamedTuple):
    """`seconds` is what a picture took on the threads that torch has, in batches; `judge` is the share of
    true drawings in which the judge finds everything.
    """

    results: tuple[Result, ...]
    seconds: float
    judge: float


def open_pipeline(folder: Path) -> Model:
    """The shipped pipeline in float32, as anyone opens it."""
    pipeline: Model = StableDiffusionPipeline.from_pretrained(  # type: ignore[no-untyped-call]
        folder, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint(
    pipeline: Model, asked: Iterator[Question], guidance: float = GUIDANCE, steps: int = STEPS
) -> Iterator[tuple[Question, Image.Image]]:
    """A picture for each question; its seed makes it the same in any batch."""
    while batch := list(islice(asked, _AT_ONCE)):
        images = pipeline(
            [question.prompt for question in batch],
            guidance_scale=guidance,
            num_inference_steps=steps,
            generator=[torch.Generator().manual_seed(question.seed) for question in batch],
        ).images
        yield from zip(batch, images, strict=True)


def count(name: str, painted: Iterator[tuple[Question, Image.Image]]) -> Result:
    """The verdicts on one set's pictures, counted; its samples are the first pictures."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    samples = []
    num_whole = 0
    for question, image in painted:
        judged = verdict(question.said, image)
        wrong = tuple(part for part, is_right in judged.items() if not is_right)
        right.update(judged.keys() - set(wrong))
        total.update(judged.keys())
        num_whole += not wrong
        samples.append(Sample(question.prompt, image, wrong))
    figures = tuple(Figure(part, right[part], total[part]) for part in PARTS if total[part])
    whole = Figure("everything", num_whole, len(samples))
    return Result(name, figures, whole, tuple(samples[:_SAMPLES]))


def true_drawings(name: str) -> Iterator[tuple[Question, Image.Image]]:
    """What the exam's pictures would be if the project drew them itself: the judge's own measure."""
    for question in questions(name):
        yield question, draw(question.scene, Random(question.seed))


def evaluate(folder: Path, log: Callable[[str], None] = print) -> Evaluation:
    """All sets of the exam, on one folder."""
    pipeline = open_pipeline(folder)
    results = []
    started = time.monotonic()
    for name in exam.SIZES:
        results.append(count(name, paint(pipeline, questions(name))))
        log(told(results[-1]))
    num_pictures = sum(result.whole.total for result in results)
    seconds = (time.monotonic() - started) / num_pictures
    known = sum(count(name, true_drawings(name)).whole.right for name in exam.SIZES)
    return Evaluation(tuple(results), seconds, known / num_pictures)


def told(result: Result) -> str:
    """One line of figures."""
    shares = (f"{part} {right}/{total}" for part, right, total in (*result.figures, result.whole))
    return f"{result.name}: " + ", ".join(shares)
