"""Previews show the latents of their very step, and cost what their kind says."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image

from tests.workers.diffusion.drawing import (
    difference,
    load_reference,
    make_engine,
    pictures_of,
    pixels,
    run,
    settings_for,
    work_of,
)
from workers.diffusion.engine import DiffusionEngine
from workers.diffusion.load import load
from workers.diffusion.preview import fit_linear
from workers.errors import LoadError
from workers.messages import Event, ImageStep


def previews_of(events: list[Event]) -> dict[int, bytes]:
    return {
        event.step: event.previews[0] for event in events if isinstance(event, ImageStep) and event.previews
    }


def make_tiny(folder: Path, channels: int = 4) -> Path:
    """An autoencoder for previews, with random weights."""
    torch.manual_seed(3)
    kind: Any = AutoencoderTiny
    model = kind(
        latent_channels=channels,
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        upsampling_scaling_factor=2,
    )
    model.save_pretrained(folder)
    return folder


def test_full_previews_are_the_pipelines_own_latents_decoded(sd: Path, engine: DiffusionEngine) -> None:
    work = work_of(engine, num_inference_steps=4, preview_steps=[1, 3], preview="full")
    engine.add(1, work)
    previews = previews_of(run(engine))
    pipeline, known = load_reference(sd), {}

    def keep(_pipeline: Any, step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        latents = values["latents"] / pipeline.vae.config.scaling_factor
        decoded = pipeline.vae.decode(latents, return_dict=False)[0]
        known[step + 1] = np.asarray(pipeline.image_processor.postprocess(decoded, output_type="pil")[0])
        return values

    with torch.inference_mode():
        pipeline(
            work.prompt,
            num_inference_steps=4,
            guidance_scale=work.guidance_scale,
            generator=torch.Generator().manual_seed(work.seeds[0]),
            callback_on_step_end=keep,
        )
    assert list(previews) == [1, 3]
    for step, image in previews.items():
        assert difference(pixels(image), known[step].astype(int)) <= 2


def test_linear_previews_show_latents_as_colours(engine: DiffusionEngine) -> None:
    engine.add(1, work_of(engine, preview_steps=[1, 2], preview="linear"))
    previews = previews_of(run(engine))
    first, second = (pixels(previews[step]) for step in (1, 2))
    assert first.shape == second.shape == (64, 64, 3)
    assert difference(first, second) > 0


def test_the_fit_finds_the_colours_of_a_linear_decoder() -> None:
    """On an autoencoder whose latents are colours by a fixed mixture, the fit is exact."""
    mixture = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -0.5], [0.25, 0.0, 1.0], [0.1, 0.1, 0.1]])

    class Mixing:
        class config:  # noqa: N801
            scaling_factor = 0.5
            shift_factor = 0.2

        device, dtype = torch.device("cpu"), torch.float32

        def encode(self, pixels: torch.Tensor) -> Any:
            small = torch.nn.functional.avg_pool2d(pixels, 4)
            latents = torch.einsum("cd,bdhw->bchw", mixture, small)
            return type("Encoded", (), {"latent": latents})

    decode = fit_linear(Mixing(), 4)
    colours = torch.rand(1, 3, 8, 8) * 1.8 - 0.9
    latents = (torch.einsum("cd,bdhw->bchw", mixture, colours) - 0.2) * 0.5
    found = np.asarray(decode(latents)).astype(float) / 127.5 - 1
    assert np.abs(found - colours[0].permute(1, 2, 0).numpy()).max() < 0.01


def test_previews_change_nothing_of_the_picture(engine: DiffusionEngine) -> None:
    for kind in ("linear", "full"):
        engine.add(1, work_of(engine, preview_steps=[1, 2], preview=kind))
        engine.add(2, work_of(engine))
        events = run(engine)
        assert difference(pictures_of(events, 1)[0], pictures_of(events, 2)[0]) <= 1


def test_previews_are_capped_in_size(sd: Path) -> None:
    engine = make_engine(sd, preview_side=20)
    engine.add(1, work_of(engine, width=80, height=40, preview_steps=[1, 2], preview="full"))
    sizes = {Image.open(BytesIO(image)).size for image in previews_of(run(engine)).values()}
    assert sizes == {(20, 10)}


def test_a_tiny_autoencoder_makes_previews(sd: Path, tmp_path: Path) -> None:
    engine = make_engine(sd, preview="tiny", preview_path=str(make_tiny(tmp_path)))
    limits = engine.limits.image
    assert limits
    assert limits.previews[0] == "tiny"
    engine.add(1, work_of(engine, preview_steps=[2], preview="tiny"))
    assert pixels(previews_of(run(engine))[2]).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preview": "tiny"}, "needs preview_path"),
        ({"preview_path": "/nowhere"}, 'preview_path "/nowhere" cannot be loaded'),
    ],
)
def test_tiny_previews_that_cannot_be(sd: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load(settings_for(sd, **changes))


def test_a_tiny_autoencoder_of_another_kind_is_refused(sd: Path, tmp_path: Path) -> None:
    folder = make_tiny(tmp_path, channels=16)
    with pytest.raises(LoadError, match="16 latent channels, the model has 4"):
        load(settings_for(sd, preview_path=str(folder)))


def test_without_an_encoder_there_are_full_previews(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(AutoencoderKL, "encode")
    engine = make_engine(sd)
    limits = engine.limits.image
    assert limits
    assert limits.previews == ["full"]
    engine.add(1, work_of(engine, preview_steps=[1]))
    assert list(previews_of(run(engine))) == [1]
