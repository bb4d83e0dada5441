"""`/generate_image_stream`: `initializing`, each step's `processing`, then `complete`."""

from typing import Any

from service.dialects.dialect import Dialect, Out, encode, usage_object
from service.errors import failure_object
from service.events import StreamEvent
from workers.messages import Accepted, Failed, Finished, Images, ImageStep, ImageWork, Usage


class ImageDialect(Dialect):
    """Pictures are base64. Of several, `image` is the first, and `images` has all.

    The terminal object of what is whole is that of `Images`, which alone has the pictures; the
    `Finished` that comes with it has nothing to add.
    """

    def __init__(self, stream_id: str, model: str, work: ImageWork) -> None:
        self._stream_id = stream_id
        self._num_steps = work.num_inference_steps
        self._is_several = len(work.seeds) > 1
        self._facts = {
            "width": work.width,
            "height": work.height,
            "image_format": work.image_format,
            "model": model,
        }

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case Accepted():
                body = self._body(0, "initializing", []) | {"stream_id": self._stream_id}
                return [Out(encode(body), None, f"[{self._num_steps} steps]\n")]
            case ImageStep():
                body = self._body(event.step, "processing", event.previews)
                return [Out(encode(body), None, f"Step {event.step} of {event.total}\n")]
            case Images():
                return [self.complete(event)]
            case Finished():
                return [self.cut(event)] if event.reason != "completed" else []
            case Failed():
                return [self.error(event)]
            case _:
                return []

    def complete(self, event: Images) -> Out:
        body = self._body(self._num_steps, "complete", event.images) | {"seed": event.seeds[0]}
        if self._is_several:
            body["seeds"] = event.seeds
        body |= self._facts | {"finish_reason": "completed", "usage": image_usage(event.usage)}
        return Out(encode(body), None, complete_text(event))

    def cut(self, end: Finished) -> Out:
        body = self._body(end.usage.num_items, end.reason, [])
        body |= {"finish_reason": end.reason, "usage": image_usage(end.usage)}
        return Out(encode(body), None, f"[Image ended: {end.reason}]\n")

    def error(self, failure: Failed) -> Out:
        body = self._body(failure.usage.num_items, "error", [])
        body |= {"error": failure_object(failure), "usage": image_usage(failure.usage)}
        return Out(encode(body), "error", f"[Error: {failure.message}]\n")

    def pictures(self, pictures: list[bytes]) -> dict[str, Any]:
        """How the objects have their pictures."""
        first = {"image": pictures[0] if pictures else None}
        return first | {"images": pictures or None} if self._is_several else first

    def _body(self, step: int, status: str, pictures: list[bytes]) -> dict[str, Any]:
        body = {"step": step, "total_steps": self._num_steps, "status": status}
        return body | self.pictures(pictures) | {"progress": round(step / self._num_steps, 6)}


class BinaryImageDialect(ImageDialect):
    """Pictures follow their object as they are, a frame each; the object tells how many bytes they have."""

    def pictures(self, pictures: list[bytes]) -> dict[str, Any]:
        sizes = [len(picture) for picture in pictures]
        told: dict[str, Any] = {"image": None}
        if sizes:
            told["image_bytes"] = sizes[0]
        if sizes[1:]:
            told["images_bytes"] = sizes
        return told


def image_usage(usage: Usage) -> dict[str, Any]:
    """Counts so far: the prompt's tokens, and denoising steps."""
    return usage_object(usage) | {"steps": usage.num_items}


def complete_text(event: Images) -> str:
    sizes = ", ".join(f"{len(image)} bytes" for image in event.images)
    return f"[Image complete: {sizes}, seed {event.seeds[0]}]\n"
