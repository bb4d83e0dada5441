"""The model card of the embedded image model, with a sheet of its first pictures."""

import json
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import safe_open

from workers.embedded.training.folder import record_of
from workers.embedded.training.scenes import decoder, denoiser, exam
from workers.embedded.training.scenes.evaluate import (
    BARS,
    GUIDANCE,
    STEPS,
    Evaluation,
    Figure,
    Result,
)
from workers.embedded.training.scenes.heldout import ONE_IN, PAIRS
from workers.embedded.training.scenes.palette import BACKGROUNDS, COLOURS
from workers.embedded.training.scenes.scene import PLACES, SHAPES, SIDE, THINGS

_TEXT = Path(__file__).parent / "card.md"
_SHEET = "samples.png"
_GAP, _ZOOM = 2, 2
_PARTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def _parameters(path: Path) -> int:
    with safe_open(path, framework="pt") as tensors:
        return sum(tensors.get_tensor(name).numel() for name in tensors.keys())  # noqa: SIM118


def megabytes(folder: Path) -> float:
    """Of all files in it, card and sheet included."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _shape(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    counts = {name: _parameters(folder / name / weights) for name, weights in _PARTS.items()}
    return counts | {
        "parameters": sum(counts.values()),
        "vocabulary": config["vocab_size"],
        "context": config["max_position_embeddings"],
        "megabytes": megabytes(folder),
        "side": SIDE,
    }


def _training(folder: Path) -> dict[str, Any]:
    record = record_of(folder)
    minutes_of = {f"{name}_minutes": seconds / 60 for name, seconds in record["stages_s"].items()}
    plan = denoiser.Plan()
    shown = {"pictures": plan.pictures, "batch": plan.batch, "decoder": decoder.Plan().steps}
    return record | minutes_of | shown


def _world() -> dict[str, Any]:
    return {
        "shapes": _listed(SHAPES),
        "things": _listed(THINGS),
        "colours": _listed(COLOURS),
        "backgrounds": _listed(BACKGROUNDS),
        "places": len(PLACES),
        "one_in": ONE_IN,
        "pairs": _listed(sorted(f"{colour} {shape}" for shape, colour in PAIRS)),
    }


def _listed(words: Any) -> str:
    return ", ".join(words)


def _cell(figure: Figure) -> str:
    return f"{figure.part} {figure.share:.0%} ({figure.right} of {figure.total})"


def _row(result: Result) -> str:
    parts = "; ".join(map(_cell, result.figures))
    return f"| {result.name} | {result.whole.total} | {result.whole.share:.0%} | {parts} |"


def _bar(result: Result, part: str) -> str:
    share, bar = result.share(part), BARS[part]
    return f"| {part} | {bar:.0%} | {share:.1%} | {'met' if share >= bar else '**missed**'} |"


def _sheet(results: tuple[Result, ...]) -> Image.Image:
    """A row for each set, with its first pictures."""
    step = SIDE + _GAP
    columns = max(len(result.samples) for result in results)
    sheet = Image.new("RGB", (step * columns - _GAP, step * len(results) - _GAP), "white")
    for row, result in enumerate(results):
        for column, sample in enumerate(result.samples):
            sheet.paste(sample.image, (column * step, row * step))
    return sheet.resize((sheet.width * _ZOOM, sheet.height * _ZOOM), Image.Resampling.NEAREST)


def _prompts(result: Result) -> str:
    lines = [f"- {sample.prompt}{_wrong(sample.wrong)}" for sample in result.samples]
    return "\n".join([f"{result.name.capitalize()}:\n", *lines])


def _wrong(parts: tuple[str, ...]) -> str:
    return f" (wrong: {', '.join(parts)})" if parts else ""


def write_card(folder: Path, evaluation: Evaluation) -> None:
    """Writes README.md and the sheet beside the weights from what was trained and measured."""
    results = evaluation.results
    _sheet(results).save(folder / _SHEET, optimize=True)
    first = next(result for result in results if result.name == exam.NEW)
    text = _TEXT.read_text(encoding="utf-8").format(
        **_shape(folder),
        **_training(folder),
        **_world(),
        bars="\n".join(_bar(first, part) for part in BARS),
        table="\n".join(map(_row, results)),
        prompts="\n\n".join(map(_prompts, results)),
        judge=evaluation.judge,
        paint_seconds=evaluation.seconds,
        guidance=f"{GUIDANCE:g}",
        num_steps=STEPS,
        sheet=_SHEET,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
