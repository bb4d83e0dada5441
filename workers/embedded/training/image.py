"""`scripts/train_embedded image`: tokenizer, autoencoder, text encoder, denoiser, evaluation, model card."""

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

# Before torch and tokenizers load: they read these once.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from workers.embedded import IMAGE
from workers.embedded.training.descent import Model
from workers.embedded.training.flags import read_flags
from workers.embedded.training.scenes import autoencoder, decoder, denoiser, reader
from workers.embedded.training.scenes.captions import caption, said
from workers.embedded.training.scenes.card import write_card
from workers.embedded.training.scenes.evaluate import evaluate
from workers.embedded.training.scenes.gallery import encode, open_gallery, standardise
from workers.embedded.training.scenes.heldout import training_scene
from workers.embedded.training.scenes.tokens import train_tokenizer
from workers.embedded.training.schedule import Done

_TOKENIZER_SEED, _TOKENIZER_TEXTS = 20_500_000, 30_000
_STANDARD_PICTURES = 2000

# Minutes on a GPU, where there is one.
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

_say = partial(print, flush=True)


def make_tokenizer(work: Path) -> CLIPTokenizer:
    """The tokenizer under `work`, trained if it is not there."""
    folder = work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        dice = Random(_TOKENIZER_SEED)
        texts = (caption(said(training_scene(dice), dice), dice) for _ in range(_TOKENIZER_TEXTS))
        train_tokenizer(texts, folder)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def make_autoencoder(work: Path) -> tuple[Model, Done]:
    """The trained autoencoder, its latents standardised; goes on from its checkpoint."""
    model = autoencoder.build_autoencoder(31).to(DEVICE)
    done = autoencoder.train(model, autoencoder.Plan(), work / "autoencoder.pt", _say)
    model.eval()
    standardise(model, encode(model, 0, _STANDARD_PICTURES))
    return model, done


def make_reader(work: Path, tokenizer: CLIPTokenizer) -> tuple[Model, Done]:
    """The trained text encoder; goes on from its checkpoint."""
    questions = reader.Questions(reader.build_encoder(tokenizer, 32)).to(DEVICE)
    done = reader.train(questions, tokenizer, reader.Plan(), work / "reader.pt", _say)
    return questions.encoder.eval(), done


def run_training(work: Path, plan: denoiser.Plan) -> StableDiffusionPipeline:
    """The trained pipeline in float32; goes on from the checkpoints under `work`."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(work)
    vae, seen = make_autoencoder(work)
    text_encoder, read = make_reader(work, tokenizer)
    gallery = open_gallery(vae, plan.pictures, work / "latents.pt")
    unet = denoiser.build_denoiser(33).to(DEVICE)
    lessons = denoiser.Lessons(gallery, text_encoder, tokenizer, plan)
    done = denoiser.train(unet, lessons, plan, work / "denoiser.pt", _say)
    sharpened = decoder.train(vae, decoder.Plan(), work / "decoder.pt", _say)
    stages = {"autoencoder": seen, "reader": read, "denoiser": done, "decoder": sharpened}
    seconds_of = {name: stage["seconds"] for name, stage in stages.items()}
    report = {**done, "seconds": sum(seconds_of.values()), "threads": torch.get_num_threads()}
    report["stages_s"] = seconds_of
    (work / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    return assemble(vae, text_encoder, tokenizer, unet)


def assemble(
    vae: Model, text_encoder: Model, tokenizer: CLIPTokenizer, unet: Model
) -> StableDiffusionPipeline:
    """The parts as one pipeline of diffusers."""
    return StableDiffusionPipeline(  # type: ignore[no-untyped-call]
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=denoiser.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )


def export(pipeline: StableDiffusionPipeline, work: Path, out: Path) -> None:
    """Weights in float16 and the record of the run, as diffusers loads them."""
    pipeline.to("cpu", torch.float16).save_pretrained(out)  # type: ignore[attr-defined]
    (out / "training.json").write_bytes((work / "training.json").read_bytes())


def main(argv: Sequence[str]) -> int:
    """Makes, or with `--evaluate-only` only judges, the shipped folder; returns the exit status."""
    plan = denoiser.Plan()
    arguments = read_flags(argv, IMAGE, plan.steps, f"{plan.batch} pictures")
    torch.set_num_threads(arguments.threads)
    if not arguments.evaluate_only:
        plan = denoiser.Plan(steps=arguments.steps)
        export(run_training(arguments.work, plan), arguments.work, arguments.out)
    write_card(arguments.out, evaluate(arguments.out, _say))
    return 0
