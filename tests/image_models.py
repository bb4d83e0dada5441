"""Saves tiny text-to-image pipelines with random weights: the same pictures every time, of nothing.

A latent is 2x2 pixels. Sides are multiples of 4, 64 pixels each if left out (Flux 256, AuraFlow 1024).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTokenizer, T5Tokenizer

Module = TypeVar("Module", bound=torch.nn.Module)
SchedulerName = Literal["pndm", "ddim", "euler", "dpm"]

WIDTH = 32
# What the T5 encoders give, and two CLIP encoders together.
TEXT_WIDTH = 2 * WIDTH
START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = [("t", "h"), ("th", "e</w>"), ("f", "o"), ("fo", "x</w>"), ("i", "n"), ("in", "g</w>")]
PIECES = ("▁the", "▁a", "▁fox", "▁in", "▁of", "ing", "er", "ed")

SCHEDULERS: dict[SchedulerName, tuple[str, dict[str, Any]]] = {
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": False}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "dpm": ("DPMSolverMultistepScheduler", {}),
}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
BLOCKS = {"block_out_channels": (16, WIDTH), "layers_per_block": 1, "norm_num_groups": 8}
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}


def save_sd(
    folder: Path, prediction_type: str = "epsilon", scheduler: SchedulerName = "pndm", **overrides: Any
) -> Path:
    """Stable Diffusion 1; with the prediction type `v_prediction` it is as Stable Diffusion 2.

    `overrides` go to the config of the scheduler.
    """
    unet = make_unet(WIDTH, use_linear_projection=prediction_type == "v_prediction")
    pipeline = diffusers.StableDiffusionPipeline(
        **clip_parts("CLIPTextModel"),
        vae=make_vae(),
        unet=unet,
        scheduler=make_scheduler(scheduler, prediction_type=prediction_type, **overrides),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return save(pipeline, folder)


def save_turbo(folder: Path) -> Path:
    """SD-Turbo: made for guidance 0, and 1 to 4 steps."""
    return save_sd(folder, scheduler="euler", timestep_spacing="trailing")


def save_sdxl(folder: Path) -> Path:
    """Stable Diffusion XL: two text encoders, and the UNet is told the picture's size."""
    size_width = 8
    unet = make_unet(
        TEXT_WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=size_width,
        projection_class_embeddings_input_dim=6 * size_width + WIDTH,
        use_linear_projection=True,
    )
    pipeline = diffusers.StableDiffusionXLPipeline(
        **clip_parts("CLIPTextModel"),
        **clip_parts("CLIPTextModelWithProjection", "_2"),
        vae=make_vae(scaling_factor=0.13025),
        unet=unet,
        scheduler=make_scheduler("euler"),
        add_watermarker=False,
    )
    return save(pipeline, folder)


def save_sd3(folder: Path, *, with_t5: bool = True) -> Path:
    """Stable Diffusion 3: two CLIP encoders and a T5.

    Without the T5 it loads only with `from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)`.
    """
    transformer = seeded(
        lambda: diffusers.SD3Transformer2DModel(
            **HEADS,
            sample_size=32,
            num_layers=2,
            joint_attention_dim=TEXT_WIDTH,
            caption_projection_dim=WIDTH,
            pooled_projection_dim=TEXT_WIDTH,
            pos_embed_max_size=64,
        )
    )
    pipeline = diffusers.StableDiffusion3Pipeline(
        **clip_parts("CLIPTextModelWithProjection"),
        **clip_parts("CLIPTextModelWithProjection", "_2"),
        **(t5_parts("T5", "_3") if with_t5 else {"text_encoder_3": None, "tokenizer_3": None}),
        vae=make_wide_vae(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    return save(pipeline, folder)


def save_flux(folder: Path, *, guidance_embeds: bool = False) -> Path:
    """Flux: as schnell, or as dev with `guidance_embeds` and a schedule that depends on the size."""
    transformer = hearing(
        lambda: diffusers.FluxTransformer2DModel(
            **HEADS,
            num_layers=1,
            num_single_layers=1,
            joint_attention_dim=TEXT_WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=guidance_embeds,
            axes_dims_rope=(4, 6, 6),
        )
    )
    shift = 3.0 if guidance_embeds else 1.0
    pipeline = diffusers.FluxPipeline(
        **clip_parts("CLIPTextModel"),
        **t5_parts("T5", "_2"),
        vae=make_wide_vae(),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift, use_dynamic_shifting=guidance_embeds),
    )
    return save(pipeline, folder)


def save_other(folder: Path) -> Path:
    """AuraFlow: none of the families above, but it calls back after each step."""
    transformer = hearing(
        lambda: diffusers.AuraFlowTransformer2DModel(
            **HEADS,
            sample_size=32,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            joint_attention_dim=TEXT_WIDTH,
            caption_projection_dim=WIDTH,
            pos_embed_max_size=64 * 64,
        )
    )
    pipeline = diffusers.AuraFlowPipeline(
        **t5_parts("UMT5"),
        vae=make_vae(scaling_factor=0.13025),
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    )
    return save(pipeline, folder)


def save(pipeline: diffusers.DiffusionPipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def seeded(make: Callable[[], Module], seed: int = 1) -> Module:
    """The same weights every time; the caller's random numbers stay as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def hearing(make: Callable[[], Module]) -> Module:
    """As `seeded`, but what comes from the text weighs 20 times as much.

    Else another prompt changed a pixel of `save_turbo` by 0.9 of 255, and none of `save_other`.
    """
    model = seeded(make)
    for name, weight in model.named_parameters():
        if name.endswith(("attn2.to_v.weight", "attn.add_v_proj.weight", "norm1.linear.weight")):
            weight.data *= 20
    return model


def make_scheduler(name: SchedulerName, **overrides: Any) -> diffusers.SchedulerMixin:
    """A scheduler with the noise of Stable Diffusion."""
    kind, config = SCHEDULERS[name]
    return getattr(diffusers, kind)(**(BETAS | config | overrides))


def make_unet(text_width: int, **config: Any) -> UNet2DConditionModel:
    return hearing(
        lambda: UNet2DConditionModel(
            **BLOCKS,
            sample_size=32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=2,
            cross_attention_dim=text_width,
            **config,
        )
    )


def make_vae(**config: Any) -> AutoencoderKL:
    return seeded(
        lambda: AutoencoderKL(
            **BLOCKS,
            sample_size=64,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            **config,
        )
    )


def make_wide_vae() -> AutoencoderKL:
    """16 channels, as of Stable Diffusion 3 and Flux."""
    quant = {"use_quant_conv": False, "use_post_quant_conv": False}
    return make_vae(latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609, **quant)


def clip_parts(kind: str, suffix: str = "") -> dict[str, Any]:
    """A tokenizer and a text encoder of the transformers class `kind`, by the names that pipelines use."""
    tokenizer = make_clip_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=48,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_factor=10.0,
    )
    encoder = seeded(lambda: getattr(transformers, kind)(config), seed=1 + len(suffix))
    return {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": encoder}


def t5_parts(family: str, suffix: str = "") -> dict[str, Any]:
    """As `clip_parts`, of the family T5 or UMT5."""
    tokenizer = make_t5_tokenizer()
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(tokenizer),
        d_model=TEXT_WIDTH,
        d_kv=16,
        d_ff=48,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    encoder = seeded(lambda: getattr(transformers, f"{family}EncoderModel")(config))
    return {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": encoder}


def make_clip_tokenizer() -> CLIPTokenizer:
    """All bytes, inside of a word and at its end, and a few merges: any text has tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merged = ["".join(pair) for pair in MERGES]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *merged, START, END]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=MERGES, model_max_length=77)


def make_t5_tokenizer() -> T5Tokenizer:
    """ASCII and a few pieces of words; other characters are unknown."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [("▁", -4.0), *((chr(code), -4.0) for code in range(33, 127))]
    vocab = [*special, *letters, *((piece, -3.0) for piece in PIECES)]
    return T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=32)
