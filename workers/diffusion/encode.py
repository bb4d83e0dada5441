"""Pictures to bytes, in a thread of its own: Pillow lets the others run while it encodes."""

import json
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

_PREVIEW_QUALITY = 80
_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


class Encoder:
    """Encodes in the order of submission; what nobody waits for any more is encoded for nothing."""

    def __init__(self, max_preview_side: int) -> None:
        self._max_preview_side = max_preview_side
        self._pool = ThreadPoolExecutor(1, "encode")

    def preview(self, image: Image.Image, size: tuple[int, int], image_format: str) -> Future[bytes]:
        """A preview of a picture of that size, no larger than `preview_side`."""
        return self._pool.submit(self._preview, image, size, image_format)

    def final(
        self, image: Image.Image, image_format: str, quality: int, facts: dict[str, Any]
    ) -> Future[bytes]:
        """A finished picture with the facts of its making in its metadata."""
        return self._pool.submit(encode, image, image_format, quality, facts)

    def _preview(self, image: Image.Image, size: tuple[int, int], image_format: str) -> bytes:
        share = min(1.0, self._max_preview_side / max(size))
        small = (max(1, round(size[0] * share)), max(1, round(size[1] * share)))
        if image.size != small:
            image = image.resize(small, Image.Resampling.BICUBIC)
        return encode(image, image_format, _PREVIEW_QUALITY, {})


def encode(image: Image.Image, image_format: str, quality: int, facts: dict[str, Any]) -> bytes:
    """The file. Facts stand as JSON: in PNG's text chunk `parameters`, else in Exif's ImageDescription."""
    text = json.dumps(facts) if facts else ""
    options: dict[str, Any] = {}
    if image_format == "png":
        options["compress_level"] = 6
        if text:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text("parameters", text)
    else:
        options["quality"] = quality
        if text:
            exif = Image.Exif()
            exif[ExifTags.Base.ImageDescription] = text
            exif[ExifTags.Base.Software] = "Sluice"
            options["exif"] = exif
    buffer = BytesIO()
    image.convert("RGB").save(buffer, _FORMATS[image_format], **options)
    return buffer.getvalue()
