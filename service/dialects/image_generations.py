"""The OpenAI API: events of `/v1/images/generations`, and its whole answer."""

import time
from typing import Any

from service.dialects.dialect import Dialect, Out, encode
from service.dialects.images import complete_text
from service.dialects.openai import DONE
from service.errors import error_object, failure_object, from_ending
from service.events import StreamEvent
from workers.messages import Failed, Finished, Images, ImageStep, ImageWork, Usage

PARTIAL, COMPLETED = "image_generation.partial_image", "image_generation.completed"


class ImageGenerationsDialect(Dialect):
    """One `completed` event per picture, then `[DONE]`. Of several, `index` tells which.

    The API has no words for an image that was cut short: that is an error, as a failure is.
    """

    def __init__(self, work: ImageWork, quality: str) -> None:
        self._is_several = len(work.seeds) > 1
        self._place_of = {step: place for place, step in enumerate(work.preview_steps)}
        self._created = int(time.time())
        self._facts: dict[str, Any] = {
            "background": "opaque",
            "output_format": work.image_format,
            "quality": quality,
            "size": f"{work.width}x{work.height}",
        }

    def render(self, event: StreamEvent) -> list[Out]:
        match event:
            case ImageStep():
                return self.partial(event)
            case Images():
                return self.completed(event)
            case Finished(reason="completed"):
                return [DONE]
            case Finished():
                return _error(error_object(from_ending(event.reason)), event.usage)
            case Failed():
                return _error(failure_object(event), event.usage)
            case _:
                return []

    def partial(self, event: ImageStep) -> list[Out]:
        text = f"[Preview after step {event.step} of {event.total}]\n"
        return [
            self._out(PARTIAL, index, picture, partial_image_index=self._place_of[event.step])._replace(
                text=text
            )
            for index, picture in enumerate(event.previews)
        ]

    def completed(self, event: Images) -> list[Out]:
        usage = generation_usage(event.usage)
        outs = [
            self._out(COMPLETED, index, picture, usage=usage) for index, picture in enumerate(event.images)
        ]
        return [*outs[:-1], outs[-1]._replace(text=complete_text(event))]

    def whole(self, event: Images) -> bytes:
        """The answer in one object."""
        data = [{"b64_json": picture} for picture in event.images]
        usage = generation_usage(event.usage)
        return encode({"created": self._created, "data": data, **self._facts, "usage": usage})

    def _out(self, kind: str, index: int, picture: bytes, **more: Any) -> Out:
        body = {"type": kind, "b64_json": picture, "created_at": self._created, **self._facts, **more}
        if self._is_several:
            body["index"] = index
        return Out(encode(body), kind)


def _error(error: dict[str, Any], usage: Usage) -> list[Out]:
    body = {"error": error, "usage": generation_usage(usage)}
    return [Out(encode(body), None, f"[Error: {error['message']}]\n"), DONE]


def generation_usage(usage: Usage) -> dict[str, Any]:
    """Counts so far in this API's names; `steps` is this service's own."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"text_tokens": usage.prompt_tokens, "image_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "steps": usage.num_items,
    }
