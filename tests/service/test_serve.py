"""The banner: what it says to try can be tried."""

import re
from typing import Any, NamedTuple

import pytest

from service.params.read import parse_json
from service.routes import ROUTES
from service.serve import banner, examples_of
from workers.messages import ImageLimits, Limits, StageSpec, TaskSpec

STAGES = [StageSpec("sentiment", "sentiment", ["text"], ["sentiment"], "bert")]
KINDS = {
    "text": Limits(10, 1, 10, True, "a language model"),
    "stages": Limits(0, 1, 0, False, "stages sentiment", stages=STAGES),
    "images": Limits(0, 1, 0, False, "pictures", image=ImageLimits(64, 64, 8, 128, 20, 7.5, ["linear"])),
    "tasks": Limits(0, 1, 0, False, "tasks count", tasks=[TaskSpec("count", "Counts.", b"{}")]),
}


class FakePost(NamedTuple):
    model: str
    limits: Limits | None
    index: int = 0


class FakeSupervisor:
    def __init__(self, **posts: Limits | None) -> None:
        self.posts = [FakePost(model, limits) for model, limits in posts.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_to_be_tried_is_what_its_route_takes(kind: str) -> None:
    for line in examples_of(KINDS[kind]):
        path, _, body = line.partition(" -H 'Content-Type: application/json' -d ")
        (route,) = [
            route for route in ROUTES if route.path == path and route.method == ("POST" if body else "GET")
        ]
        assert (route.params is not None) == bool(body)
        if route.params:
            parse_json(body.strip("'"), route.params)


def test_the_banner() -> None:
    supervisor: Any = FakeSupervisor(**KINDS, again=KINDS["text"], broken=None)
    text = banner(supervisor, ["service"], "http://127.0.0.1:1")
    assert "ready on http://127.0.0.1:1\n" in text
    assert "model 'broken': not loaded" in text
    paths = re.findall(r"^  curl -N http://127\.0\.0\.1:1(\S+)", text, re.MULTILINE)
    assert paths == [
        "/generate_stream",
        "/pipeline_stream",
        "/process-stream",
        "/generate_image_stream",
        "/tasks",
        "/buffered_stream",
    ]
    assert "buffered" not in banner(supervisor, [], "x")
