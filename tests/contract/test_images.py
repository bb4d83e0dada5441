"""`/generate_image_stream` and `/v1/images/generations` through a real service with a tiny model."""

import io
import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops

from tests import sse
from tests.contract.raw import connect
from tests.contract.stages import NDJSON, PLAIN, RESUMABLE, post, refused, run
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess

PATH, OPENAI = "/generate_image_stream", "/v1/images/generations"
FOX: dict[str, Any] = {"prompt": "a fox in the snow", "seed": 7}
LONG = FOX | {"steps": 150, "preview_every": 1}
USAGE = {"prompt_tokens", "completion_tokens", "total_tokens", "steps"}
MOST = "(limits.max_steps)"
HUGE = 10**9
# What the kernel may hold for a client that does not read.
RECEIVE_BYTES = 4_096


@pytest.fixture(scope="module")
def service(image_service: ServiceProcess) -> Iterator[ServiceProcess]:
    """`sd`, 64x64 pixels in 4 steps; and an echo model."""
    yield image_service
    image_service.wait_ready()
    image_service.check_serves()


def picture(encoded: str) -> Image.Image:
    image = Image.open(io.BytesIO(b64decode(encoded)))
    image.load()
    return image


def test_an_image_step_by_step(service: ServiceProcess) -> None:
    answer = post(service, PATH, **FOX, steps=6, preview_every=2)
    events = list(sse.events(answer))
    assert [event.id for event in events] == [str(number) for number in range(1, 9)]
    first, *steps, last = (json.loads(event.data) for event in events)
    assert first == {
        "step": 0,
        "total_steps": 6,
        "status": "initializing",
        "image": None,
        "progress": 0.0,
        "stream_id": answer.headers["X-Stream-Id"],
    }
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step["step"] for step in steps if step["image"]] == [2, 4]
    assert [step["progress"] for step in steps] == [round(step / 6, 6) for step in range(1, 7)]
    assert all((step["status"], step["total_steps"]) == ("processing", 6) for step in steps)
    assert {picture(step["image"]).format for step in steps if step["image"]} == {"JPEG"}
    assert (last["step"], last["status"], last["progress"], last["seed"]) == (6, "complete", 1.0, 7)
    assert (last["finish_reason"], last["usage"]["steps"], set(last["usage"])) == ("completed", 6, USAGE)
    image = picture(last["image"])
    assert (image.format, image.size) == ("JPEG", (64, 64))


def test_what_is_left_out_is_the_models_own(service: ServiceProcess) -> None:
    events = run(service, PATH, prompt="x", model="sd")
    assert [event["step"] for event in events] == [0, 1, 2, 3, 4, 4]
    assert 0 <= events[-1]["seed"] < 1 << 63
    assert (events[-1]["width"], events[-1]["height"], events[-1]["image_format"]) == (64, 64, "jpeg")
    assert run(service, PATH, prompt="x", steps=1)[-1]["seed"] != events[-1]["seed"]


def test_the_same_seed_is_the_same_image(service: ServiceProcess) -> None:
    one, again, other = (
        run(service, PATH, prompt="x", steps=2, seed=seed, image_format="png")[-1]["image"]
        for seed in (5, 5, 6)
    )
    assert one == again != other


@pytest.mark.parametrize(
    ("asked", "made"), [("jpeg", "JPEG"), ("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")]
)
def test_formats_and_sizes(service: ServiceProcess, asked: str, made: str) -> None:
    wishes = FOX | {"steps": 2, "preview_every": 1, "image_format": asked, "width": 72, "height": 40}
    _, first, _, last = run(service, PATH, **wishes)
    assert picture(first["image"]).format == made
    image = picture(last["image"])
    assert (image.format, image.size) == (made, (72, 40))


@pytest.mark.parametrize("kind", ["linear", "full"])
def test_kinds_of_preview(service: ServiceProcess, kind: str) -> None:
    events = run(service, PATH, **FOX, steps=3, preview_every=1, preview=kind)
    assert [bool(event["image"]) for event in events] == [False, True, True, False, True]


def test_no_previews(service: ServiceProcess) -> None:
    events = run(service, PATH, **FOX, steps=6, preview_every=0)
    assert [bool(event["image"]) for event in events] == [False] * 7 + [True]


def test_several_images(service: ServiceProcess) -> None:
    wishes: dict[str, Any] = {"prompt": "x", "steps": 2, "preview_every": 1, "image_format": "png"}
    _, first, _, last = run(service, PATH, **wishes, n=2, seed=(1 << 63) - 1)
    assert (last["seed"], last["seeds"]) == ((1 << 63) - 1, [(1 << 63) - 1, 0])
    assert len(first["images"]) == len(last["images"]) == 2
    assert (first["image"], last["image"]) == (first["images"][0], last["images"][0])
    assert last["images"][0] != last["images"][1]
    alone = run(service, PATH, **wishes, seed=0)[-1]
    # In a batch sums are rounded otherwise.
    difference = ImageChops.difference(picture(alone["image"]), picture(last["images"][1]))
    assert all(most <= 3 for _, most in difference.getextrema())


def test_get_and_other_framings(service: ServiceProcess) -> None:
    query = {"prompt": "x", "steps": "2", "seed": "3", "guidance_scale": "1.5", "preview_every": "0"}
    events = sse.objects(service.http.get(PATH, params=query).content)
    assert [event["status"] for event in events] == ["initializing", "processing", "processing", "complete"]
    answer = post(service, PATH, NDJSON, **FOX)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 4]
    text = post(service, PATH, PLAIN, **FOX).text.splitlines()
    assert text[1:5] == [f"Step {step} of 4" for step in (1, 2, 3, 4)]
    assert text[5].startswith("[Image complete: ")


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"steps": 0}, "steps", "Expected `int` >= 1, not 0"),
    ({"steps": -1}, "steps", "Expected `int` >= 1, not -1"),
    ({"steps": HUGE}, "steps", f"{HUGE} > 150 {MOST}"),
    ({"steps": 10**30}, "steps", f" > 150 {MOST}"),
    ({"steps": 1.5}, "steps", "got `float`"),
    ({"steps": "3"}, "steps", "got `str`"),
    ({"steps": True}, "steps", "got `bool`"),
    ({"prompt": ""}, "prompt", "length >= 1"),
    ({"prompt": " \n\t"}, "prompt", "not only white space"),
    ({"prompt": "x" * 100_000}, "prompt", "100000 characters > 4000 (limits.max_image_prompt_chars)"),
    ({"prompt": None}, "prompt", "Expected `str`"),
    ({"negative_prompt": "x" * 4_001}, "negative_prompt", "4001 characters > 4000"),
    ({"guidance_scale": -0.1}, "guidance_scale", ">= 0"),
    ({"guidance_scale": 100.1}, "guidance_scale", "<= 100"),
    ({"guidance_scale": "7"}, "guidance_scale", "got `str`"),
    ({"seed": -1}, "seed", ">= 0"),
    ({"seed": 1 << 63}, "seed", f"<= {(1 << 63) - 1}"),
    ({"seed": 1.0}, "seed", "got `float`"),
    ({"n": 0}, "n", ">= 1"),
    ({"n": 4}, "n", "4 > 3 (limits.max_images)"),
]
BAD_NATIVE: list[tuple[dict[str, Any], str, str]] = [
    ({"width": 63}, "width", "63 is no multiple of "),
    ({"height": 1}, "height", "1 is no multiple of "),
    ({"height": 0}, "height", ">= 1"),
    ({"width": 264}, "width", "264 pixels > 256 (limit of this model)"),
    ({"width": HUGE}, "width", f"{HUGE} pixels > 256"),
    ({"preview_every": -1}, "preview_every", ">= 0"),
    ({"preview_every": 151}, "preview_every", f"151 > 150 {MOST}"),
    ({"preview": "tiny"}, "preview", "'tiny' is not what this model has: linear, full"),
    ({"preview": "x"}, "preview", "linear|tiny|full"),
    ({"image_format": "gif"}, "image_format", "jpeg|jpg|png|webp"),
    ({"image_format": ""}, "image_format", "jpeg|jpg|png|webp"),
]
BAD_OPENAI: list[tuple[dict[str, Any], str, str]] = [
    ({"size": "72x64"}, "size", '\'72x64\' is not what this model makes: "auto", "64x64"'),
    ({"size": "64"}, "size", '"auto", "64x64"'),
    ({"size": ""}, "size", '"auto", "64x64"'),
    ({"partial_images": 4}, "partial_images", "<= 3"),
    ({"partial_images": -1}, "partial_images", ">= 0"),
    ({"response_format": "url"}, "response_format", 'send "b64_json"'),
    ({"background": "transparent"}, "background", "not supported"),
    ({"output_format": "gif"}, "output_format", "png|jpeg|webp"),
    ({"output_format": "jpeg", "output_compression": 101}, "output_compression", "<= 100"),
    ({"output_compression": 50}, "output_compression", "only for jpeg and webp"),
    ({"quality": "best"}, "quality", "auto|low|medium|high"),
]


@pytest.mark.parametrize(("body", "field", "words"), [*BAD, *BAD_NATIVE])
def test_bad_wishes_are_422_and_name_field_and_limit(
    service: ServiceProcess, body: dict[str, Any], field: str, words: str
) -> None:
    error = refused(post(service, PATH, **(FOX | body)))
    assert error["param"] == field
    assert error["message"].startswith(f"$.{field}: ")
    assert words in error["message"]


@pytest.mark.parametrize(("body", "field", "words"), [*BAD, *BAD_OPENAI])
def test_on_the_openai_route_they_are_400(
    service: ServiceProcess, body: dict[str, Any], field: str, words: str
) -> None:
    error = refused(post(service, OPENAI, **(FOX | body)), 400)
    assert (error["param"], error["type"]) == (field, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize("path", [PATH, OPENAI])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_in_json_is_named_too(service: ServiceProcess, path: str, number: str) -> None:
    answer = service.http.post(path, content=f'{{"prompt": "x", "guidance_scale": {number}}}')
    error = refused(answer, 400)
    assert (error["param"], error["code"]) == ("guidance_scale", "bad_json")
    assert "finite" in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("guidance_scale", value) for value in ("nan", "inf", "-inf", "1e999", "x", "")),
        *(("steps", value) for value in ("0", "1.5", "true", "9" * 40, "")),
        ("seed", "-1"),
        ("width", "x"),
    ],
)
def test_bad_queries(service: ServiceProcess, field: str, value: str) -> None:
    error = refused(service.http.get(PATH, params={"prompt": "x", field: value}))
    assert error["param"] == field


@pytest.mark.parametrize("path", [PATH, OPENAI])
def test_models_that_make_no_images(service: ServiceProcess, path: str) -> None:
    for model in ("echo", "gpt-image-1"):
        error = refused(post(service, path, **FOX, model=model), 404)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "there is: sd" in error["message"]
    chat = post(service, "/v1/chat/completions", model="sd", messages=[{"role": "user", "content": "x"}])
    assert refused(chat, 404)["code"] == "model_not_found"


def test_without_any_image_model(echo_service: ServiceProcess) -> None:
    error = refused(post(echo_service, PATH, **FOX), 404)
    assert error["code"] == "model_not_found"
    assert 'engine = "diffusion"' in error["message"]


def test_models_are_listed_after_those_for_text(service: ServiceProcess) -> None:
    models = service.http.get("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["echo", "sd"]
    assert service.http.get("/v1/models/sd").json() == models[1]


def test_resume_goes_on_after_the_last_seen(service: ServiceProcess) -> None:
    whole = list(sse.events(post(service, PATH, RESUMABLE, **FOX, preview_every=1)))
    with httpx.stream(
        "POST", f"{service.url}{PATH}", json=FOX, headers=RESUMABLE, timeout=REQUEST_TIMEOUT_S
    ) as answer:
        stream_id = answer.headers["X-Stream-Id"]
        seen = next(sse.events(answer))
    rest = service.http.get(f"/streams/{stream_id}", headers={"Last-Event-ID": str(seen.id)})
    events = list(sse.events(rest))
    assert [event.id for event in events] == ["2", "3", "4", "5", "6"]
    assert json.loads(events[-1].data)["image"] == json.loads(whole[-1].data)["image"]
    text = service.http.get(f"/streams/{stream_id}", headers=PLAIN).text
    assert text.splitlines()[4] == "Step 4 of 4"


@pytest.mark.parametrize("path", [PATH, OPENAI])
def test_cancel(service: ServiceProcess, path: str) -> None:
    wishes = LONG | {"stream": True, "partial_images": 3}
    with httpx.stream("POST", f"{service.url}{path}", json=wishes, timeout=REQUEST_TIMEOUT_S) as answer:
        stream_id = answer.headers["X-Stream-Id"]
        listed = {each["id"]: each for each in service.http.get("/streams").json()["streams"]}
        assert {"route": path, "model": "sd"}.items() <= listed[stream_id].items()
        assert "steps" in listed[stream_id]
        assert service.http.post(f"/streams/{stream_id}/cancel").json() == {"status": "cancelled"}
        last = sse.objects(answer.iter_bytes())[-1]
    service.wait_idle()
    if path == PATH:
        assert (last["status"], last["finish_reason"], last["image"]) == ("cancelled", "cancelled", None)
        assert last["step"] == last["usage"]["steps"] < 150
    else:
        assert last["error"]["code"] == "cancelled"


def test_leaving_ends_the_job(service: ServiceProcess) -> None:
    before = service.metrics()["ended"].get("client_gone", 0)
    with httpx.stream("POST", f"{service.url}{PATH}", json=LONG, timeout=REQUEST_TIMEOUT_S) as answer:
        assert next(sse.events(answer)).id == "1"
    service.wait_for_metrics(lambda m: m["ended"].get("client_gone", 0) == before + 1)
    service.wait_idle()


def test_deadlines(service: ServiceProcess) -> None:
    soon = {"X-Request-Timeout": "0.2"}
    last = sse.objects(post(service, PATH, soon, **LONG).content)[-1]
    assert (last["status"], last["finish_reason"]) == ("deadline", "deadline")
    error = refused(post(service, OPENAI, soon, prompt="x", steps=150), 504)
    assert error["code"] == "deadline"


def test_a_slow_reader_loses_previews_and_nothing_else(service: ServiceProcess) -> None:
    """The job is paused for him; when he reads on, it goes on."""
    steps = 16
    wishes = FOX | {"steps": steps, "preview_every": 1, "image_format": "png", "width": 256, "height": 256}
    body = json.dumps(wishes).encode()
    head = f"POST {PATH} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with closing(connect(service.url, RECEIVE_BYTES)) as client:
        client.sendall(head.encode() + body)
        service.wait_for_metrics(lambda metrics: metrics["paused_streams"] == 1)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    objects = sse.objects(answer.partition(b"\r\n\r\n")[2])
    assert [each["step"] for each in objects] == [*range(steps + 1), steps]
    assert picture(objects[-1]["image"]).size == (256, 256)
    assert 0 < sum(bool(each["image"]) for each in objects[:-1]) < steps - 1
    service.wait_idle()


def test_images_and_their_steps_are_counted(service: ServiceProcess) -> None:
    def counts() -> tuple[int, int]:
        metrics = service.metrics()
        return metrics["image_steps"].get("sd", 0), metrics["images"].get("sd", 0)

    steps, images = counts()
    run(service, PATH, **FOX, steps=3, n=2)
    assert counts() == (steps + 3, images + 2)
    text = service.http.get("/metrics", headers=PLAIN).text
    assert f'sluice_images_total{{model="sd"}} {images + 2}.0' in text


def test_openai_in_one_answer(service: ServiceProcess) -> None:
    answer = post(service, OPENAI, prompt="x", n=2, size="64x64", quality="low", user="me", moderation="low")
    body = answer.json()
    assert [picture(each["b64_json"]).format for each in body["data"]] == ["PNG", "PNG"]
    assert picture(body["data"][0]["b64_json"]).size == (64, 64)
    assert (body["size"], body["quality"], body["usage"]["steps"]) == ("64x64", "low", 2)


@pytest.mark.parametrize(
    ("wishes", "steps"),
    [
        ({}, 4),
        ({"quality": "auto"}, 4),
        ({"quality": "standard"}, 4),
        ({"quality": "low"}, 2),
        ({"quality": "hd"}, 8),
        ({"quality": "high", "steps": 3}, 3),
    ],
)
def test_quality_is_a_number_of_steps(service: ServiceProcess, wishes: dict[str, Any], steps: int) -> None:
    assert post(service, OPENAI, prompt="x", **wishes).json()["usage"]["steps"] == steps


def test_compression_makes_files_smaller(service: ServiceProcess) -> None:
    sizes = []
    for compression in (0, 50, 100, None):
        wishes = FOX | {"output_format": "jpeg", "output_compression": compression}
        sizes.append(len(post(service, OPENAI, **wishes).json()["data"][0]["b64_json"]))
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]


def test_openai_events(service: ServiceProcess) -> None:
    wishes = FOX | {"stream": True, "partial_images": 3, "output_format": "webp", "n": 2}
    *events, done = sse.events(post(service, OPENAI, **wishes))
    assert done.data == "[DONE]"
    told = [json.loads(event.data) for event in events]
    assert [event.event for event in events] == [each["type"] for each in told]
    partial = [each for each in told if each["type"] == "image_generation.partial_image"]
    assert [(each["partial_image_index"], each["index"]) for each in partial] == [
        (place, index) for place in range(3) for index in range(2)
    ]
    assert [each["type"] for each in told[6:]] == ["image_generation.completed"] * 2
    assert {picture(each["b64_json"]).format for each in told} == {"WEBP"}
    assert all(event.id is None or event.id == "" for event in events)


@pytest.mark.parametrize(("path", "method"), [(PATH, "post"), (PATH, "get"), (OPENAI, "post")])
def test_the_description_has_the_params(service: ServiceProcess, path: str, method: str) -> None:
    document = service.http.get("/openapi.json").json()
    operation = document["paths"][path][method]
    if method == "get":
        names = [each["name"] for each in operation["parameters"] if each["in"] == "query"]
    else:
        place = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        names = list(document["components"]["schemas"][place.rpartition("/")[2]]["properties"])
    assert {"prompt", "steps", "seed", "guidance_scale", "n", "model"} <= set(names)
