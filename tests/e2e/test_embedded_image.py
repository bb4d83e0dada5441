"""The image model that ships paints what it is asked for, through worker, service and client."""

import json
from base64 import b64decode
from io import BytesIO

import pytest
from PIL import Image

from tests import sse
from tests.service_process import ServiceProcess
from workers.embedded.training.scenes.judge import Found, background_name, objects

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def paint(service: ServiceProcess, prompt: str, **wishes: object) -> Image.Image:
    body = {"prompt": prompt, "seed": 1, "image_format": "png"} | wishes
    events = [
        json.loads(event.data) for event in sse.events(service.http.post("/generate_image_stream", json=body))
    ]
    assert [event["step"] for event in events] == [*range(21), 20]
    assert [bool(event["image"]) for event in events] == [step in (5, 10, 15) for step in range(21)] + [True]
    return Image.open(BytesIO(b64decode(events[-1]["image"])))


def test_a_shape_in_its_colour_on_its_background(shipped_service: ServiceProcess) -> None:
    image = paint(shipped_service, "a big red circle on a white background")
    assert image.size == (64, 64)
    assert background_name(image) == "white"
    (found,) = objects(image)
    assert (found.colour, found.shape) == ("red", "circle")


def test_as_many_as_asked_for(shipped_service: ServiceProcess) -> None:
    image = paint(shipped_service, "three green triangles on a cream background")
    found: list[Found] = objects(image)
    assert [one.colour for one in found] == ["green"] * 3
