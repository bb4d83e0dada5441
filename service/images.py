"""Params -> image work: which pictures, of what size, in how many steps, with which previews."""

import secrets

from aiohttp import web
from msgspec import structs

from service.admission import SEED_BITS, limits_of
from service.bounds import Bounds, check_not_blank
from service.keys import SETTINGS
from service.params.images import ImageGenerationParams, ImageParams
from workers.messages import ImageLimits, ImageWork

NUM_SEEDS = 1 << SEED_BITS


def image_limits(request: web.Request, model: str) -> ImageLimits:
    """What an image model can do. Raises Unavailable while that is not known."""
    image = limits_of(request, model).image
    assert image, f"{model} makes no images"
    return image


def wish_images(request: web.Request, model: str, params: ImageParams, status: int = 422) -> ImageWork:
    """What was asked for; what is beyond the limits of settings or model is refused with `status`."""
    image, bounds = image_limits(request, model), Bounds(request, status)
    check_not_blank("prompt", params.prompt, status)
    _check_counts(bounds, params)
    steps = params.steps or image.num_inference_steps
    return ImageWork(
        params.prompt,
        _seeds(params.seed, params.n),
        _side(bounds, image, "width", params.width or image.width),
        _side(bounds, image, "height", params.height or image.height),
        steps,
        image.guidance_scale if params.guidance_scale is None else params.guidance_scale,
        params.negative_prompt,
        list(range(params.preview_every, steps, params.preview_every)) if params.preview_every else [],
        _preview(bounds, image, params.preview or image.previews[0]),
        "jpeg" if params.image_format == "jpg" else params.image_format,
    )


def wish_generation(request: web.Request, model: str, params: ImageGenerationParams) -> ImageWork:
    """The same in OpenAI's words: a size and a quality, and a number of previews."""
    params.check()
    image, bounds = image_limits(request, model), Bounds(request, 400)
    width, height = _sides(bounds, image, "auto" if params.size is None else params.size)
    max_steps = request.app[SETTINGS].limits.max_steps
    native = ImageParams(
        prompt=params.prompt,
        steps=params.steps or params.quality_steps(image.num_inference_steps, max_steps),
        seed=params.seed,
        width=width,
        height=height,
        guidance_scale=params.guidance_scale,
        negative_prompt=params.negative_prompt,
        preview_every=0,
        image_format=params.output_format or "png",
        n=params.n or 1,
    )
    work = wish_images(request, model, native, 400)
    num_previews = (params.partial_images or 0) if params.stream else 0
    previews = spread(num_previews, work.num_inference_steps)
    return structs.replace(work, preview_steps=previews, quality=params.encoding_quality())


def spread(count: int, steps: int) -> list[int]:
    """At most `count` steps at even distances, none of them the last."""
    places = (steps * (i + 1) // (count + 1) for i in range(count))
    return list(dict.fromkeys(place for place in places if place))


def _check_counts(bounds: Bounds, params: ImageParams) -> None:
    bounds.check("prompt", len(params.prompt), "max_image_prompt_chars", "characters")
    bounds.check("negative_prompt", len(params.negative_prompt), "max_image_prompt_chars", "characters")
    bounds.check("steps", params.steps or 1, "max_steps")
    bounds.check("preview_every", params.preview_every, "max_steps")
    bounds.check("n", params.n, "max_images")


def _seeds(first: int | None, count: int) -> list[int]:
    first = secrets.randbits(SEED_BITS) if first is None else first
    return [(first + i) % NUM_SEEDS for i in range(count)]


def _sides(bounds: Bounds, image: ImageLimits, size: str) -> tuple[int, int]:
    own = f"{image.width}x{image.height}"
    if size not in ("auto", own):
        bounds.refuse("size", f'{size!r} is not what this model makes: "auto", "{own}"')
    return image.width, image.height


def _side(bounds: Bounds, image: ImageLimits, field: str, pixels: int) -> int:
    if pixels > image.max_side:
        bounds.refuse(field, f"{pixels} pixels > {image.max_side} (limit of this model)")
    if pixels % image.size_multiple:
        bounds.refuse(field, f"{pixels} is no multiple of {image.size_multiple} (limit of this model)")
    return pixels


def _preview(bounds: Bounds, image: ImageLimits, kind: str) -> str:
    if kind not in image.previews:
        bounds.refuse("preview", f"{kind!r} is not what this model has: {', '.join(image.previews)}")
    return kind
