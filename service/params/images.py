"""Params of the routes for images. What the settings or the model limit is checked by `service.images`."""

from typing import Annotated, Any, NoReturn

from msgspec import Meta, Struct

from service.errors import BadParams
from service.params.fields import INT64_MAX, ModelName

Count = Annotated[int, Meta(ge=1)]
Prompt = Annotated[str, Meta(min_length=1)]
ImageSeed = Annotated[int, Meta(ge=0, le=INT64_MAX)]
RequestName = Annotated[str, Meta(max_length=128)]
Guidance = Annotated[float, Meta(ge=0, le=100)]

# What a quality takes of steps, as a share of the model's own; other versions of the API say it otherwise.
QUALITIES = {"low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 3.0, "max": 4.0}
OLD_QUALITIES = {"auto": "medium", "standard": "medium", "hd": "high"}
WHOLE_PERCENT = 100


class ImageParams(Struct, kw_only=True):
    """`/generate_image_stream` and `/ws/images`. What is left out is the model's own.

    Every `preview_every` steps there is a preview; 0 for none. Image i of `n` has the seed `seed + i`.
    """

    prompt: Prompt
    steps: Count | None = None
    seed: ImageSeed | None = None
    width: Count | None = None
    height: Count | None = None
    guidance_scale: Guidance | None = None
    negative_prompt: str = ""
    preview_every: Annotated[int, Meta(ge=0)] = 5
    preview: Annotated[str, Meta(pattern="^(linear|tiny|full)$")] | None = None
    image_format: Annotated[str, Meta(pattern="^(jpeg|jpg|png|webp)$")] = "jpeg"
    n: Count = 1
    model: ModelName | None = None


class GenerateImages(ImageParams, kw_only=True, tag="generate"):
    """A message of `/ws/images`. `request_id` comes back in all that answers it.

    With `binary` pictures are not base64 but frames of their own, each after the object that tells of it.
    """

    binary: bool = False
    request_id: RequestName | None = None


class CancelImages(Struct, tag="cancel"):
    """A message of `/ws/images`: what runs is to end."""

    request_id: RequestName | None = None


# A type checker has no type for the type of a union.
ImageMessage: Any = GenerateImages | CancelImages


class ImageGenerationParams(Struct, kw_only=True):
    """`/v1/images/generations`. The last four are this service's own."""

    prompt: Prompt
    model: ModelName | None = None
    n: Count | None = None
    size: Annotated[str, Meta(max_length=32)] | None = None
    quality: Annotated[str, Meta(pattern="^(auto|low|medium|high|xhigh|max|standard|hd)$")] | None = None
    response_format: Annotated[str, Meta(pattern="^(b64_json|url)$")] | None = None
    output_format: Annotated[str, Meta(pattern="^(png|jpeg|webp)$")] | None = None
    output_compression: Annotated[int, Meta(ge=0, le=WHOLE_PERCENT)] | None = None
    background: Annotated[str, Meta(pattern="^(auto|opaque|transparent)$")] | None = None
    stream: bool | None = False
    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None
    steps: Count | None = None
    seed: ImageSeed | None = None
    guidance_scale: Guidance | None = None
    negative_prompt: str = ""

    def check(self) -> None:
        """Refuse what this service cannot do, rather than answer as if it had not been asked."""
        if self.response_format == "url":
            _refuse("response_format", '"url" is not supported; send "b64_json"')
        if self.background == "transparent":
            _refuse("background", '"transparent" is not supported; send "auto" or "opaque"')
        if self.output_format in (None, "png") and self.output_compression not in (None, WHOLE_PERCENT):
            _refuse(
                "output_compression", f"{self.output_compression} is only for jpeg and webp; png is whole"
            )

    def quality_name(self) -> str:
        """The quality in today's words."""
        name = self.quality or "auto"
        return OLD_QUALITIES.get(name, name)

    def quality_steps(self, usual: int, most: int) -> int:
        return min(most, max(1, round(usual * QUALITIES[self.quality_name()])))

    def encoding_quality(self) -> int:
        """Of the encoder, 1 to 100."""
        return WHOLE_PERCENT if self.output_compression is None else max(1, self.output_compression)


def _refuse(field: str, complaint: str) -> NoReturn:
    raise BadParams(f"$.{field}: {complaint}", param=field, status=400)
