"""The shipped image model, and its little world: drawn, worded, judged and learned."""

import json
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import Image, ImageChops

from workers.embedded import IMAGE
from workers.embedded.training.descent import Model
from workers.embedded.training.scenes import autoencoder, decoder, exam
from workers.embedded.training.scenes.captions import NEW_OPENINGS, caption, said
from workers.embedded.training.scenes.card import megabytes
from workers.embedded.training.scenes.draw import draw
from workers.embedded.training.scenes.evaluate import BARS, count, open_pipeline, paint, true_drawings
from workers.embedded.training.scenes.exam import Question, questions
from workers.embedded.training.scenes.gallery import encode, standardise
from workers.embedded.training.scenes.heldout import (
    PAIRS,
    has_held_out_pair,
    is_held_out_scene,
    training_scene,
)
from workers.embedded.training.scenes.pixels import to_pixels
from workers.embedded.training.scenes.scene import LANDSCAPES, SIDE, Scene
from workers.embedded.training.scenes.tokens import BEGIN, CONTEXT, END, train_tokenizer
from workers.embedded.training.schedule import Done

OTHER_NAMES = {
    "circle": ("disc", "dot"),
    "square": ("box",),
    "ring": ("hoop",),
    "cross": ("plus sign",),
    "diamond": ("rhombus",),
}


def spoken(total: int) -> Iterator[tuple[Scene, str]]:
    """Training's own prompts, and what they say."""
    for seed in range(total):
        dice = Random(seed)
        scene = said(training_scene(dice), dice)
        yield scene, caption(scene, dice)


@cache
def pipeline() -> Model:
    return open_pipeline(IMAGE)


def test_the_folder_is_at_most_24_megabytes() -> None:
    assert megabytes(IMAGE) <= 24


def test_it_loads_plainly_and_paints_held_out_scenes() -> None:
    """Of one object; the card has the figures of all that was asked."""
    result = count(exam.NEW, paint(pipeline(), questions(exam.NEW, 12), steps=10))
    assert result.share("colour") >= 0.8
    assert result.share("shape") >= 0.7
    assert result.samples[0].image.size == (SIDE, SIDE)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    asked = list(questions(exam.PAIRED, 3))
    together = [image for _, image in paint(pipeline(), iter(asked), steps=2)]
    for question, image in zip(asked, together, strict=True):
        ((_, alone),) = paint(pipeline(), iter([question]), steps=2)
        difference = ImageChops.difference(image, alone).getextrema()
        assert max(high for _, high in difference) <= 2


def test_the_card_tells_what_was_measured() -> None:
    card = (IMAGE / "README.md").read_text()
    for name in exam.SIZES:
        assert f"| {name} |" in card
    for part, bar in BARS.items():
        assert f"| {part} | {bar:.0%} |" in card
    assert "What it cannot do" in card
    assert (IMAGE / "samples.png").exists()
    stages = json.loads((IMAGE / "training.json").read_text())["stages_s"]
    assert list(stages) == ["autoencoder", "reader", "denoiser", "decoder"]


def is_said(name: str, words: list[str]) -> bool:
    """Whether all words of a name are there, also where a stray word or an ending comes between."""
    return all(any(word.startswith(part) for word in words) for part in name.split())


@pytest.mark.parametrize("name", exam.SIZES)
def test_the_judge_finds_what_was_drawn(name: str) -> None:
    result = count(name, true_drawings(name))
    assert result.whole.total == exam.SIZES[name]
    for figure in (*result.figures, result.whole):
        assert figure.share >= 0.99, figure


def test_the_judge_sees_that_a_picture_is_of_something_else() -> None:
    """It can fail: pictures of other scenes are wrong, whatever is asked of them."""
    asked = list(questions(exam.NEW, 60))
    exchanged = (
        (one, draw(other.scene, Random(1))) for one, other in zip(asked, asked[1:] + asked[:1], strict=True)
    )
    result = count(exam.NEW, exchanged)
    assert result.whole.right == 0
    assert result.share("colour") < 0.3
    assert result.share("shape") < 0.3


def test_an_empty_picture_shows_nothing() -> None:
    blank = Image.new("RGB", (SIDE, SIDE), "white")
    for name in exam.SIZES:
        result = count(name, ((question, blank) for question in questions(name, 10)))
        assert result.whole.right == 0
        assert not [figure for figure in result.figures if figure.part == "colour" and figure.right]


def test_a_prompt_says_what_the_scene_holds() -> None:
    for scene, text in spoken(1000):
        words = text.lower().rstrip(".").split()
        for item in scene.items:
            names = (item.kind, *OTHER_NAMES.get(item.kind, ()))
            assert any(is_said(name, words) for name in names), (text, item)
            assert is_said(item.colour, words), (text, item)
            assert is_said(item.second, words), (text, item)
            assert item.size != "big" or {"big", "large", "huge"} & set(words), text
        assert scene.background == "day" or is_said(scene.background, words), text


def test_training_never_shows_what_is_held_out() -> None:
    drawn = [training_scene(Random(seed)) for seed in range(2500)]
    assert not [scene for scene in drawn if has_held_out_pair(scene) or is_held_out_scene(scene)]
    assert not [text for _, text in spoken(1000) if text.lower().startswith(("can you make", "a photo with"))]


def test_the_exam_asks_what_training_never_shows() -> None:
    for name in (exam.NEW, exam.WORDED, exam.COUNTED, exam.RELATED):
        for question in questions(name, 40):
            assert is_held_out_scene(question.scene)
            assert not has_held_out_pair(question.scene)
    asked = list(questions(exam.PAIRED))
    assert {(one.said.items[0].kind, one.said.items[0].colour) for one in asked} == PAIRS
    assert all(question.scene.background in LANDSCAPES for question in questions(exam.LANDSCAPED, 40))
    openings = tuple(one.strip() for one in NEW_OPENINGS.strip("[]").split("|"))
    worded = [question.prompt.lower().startswith(openings) for question in questions(exam.WORDED)]
    # The others have a stray word in it.
    assert sum(worded) >= 0.9 * len(worded)


def test_the_same_seed_asks_and_draws_the_same() -> None:
    def pictures(asked: Iterator[Question]) -> list[bytes]:
        return [draw(one.scene, Random(one.seed)).tobytes() for one in islice(asked, 20)]

    assert list(questions(exam.NEW, 20)) == list(questions(exam.NEW, 20))
    assert pictures(questions(exam.LANDSCAPED)) == pictures(questions(exam.LANDSCAPED))


def test_the_tokenizer_gives_back_what_it_read(tmp_path: Path) -> None:
    tokenizer = train_tokenizer((text for _, text in spoken(2000)), tmp_path)
    assert tokenizer.convert_ids_to_tokens(tokenizer("").input_ids) == [BEGIN, END]
    for text in ("a red star on a black background", "an xyzzy under the sun", "ein schönes haus"):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text
    assert len(tokenizer("a red star on a black background").input_ids) == 9
    long = tokenizer("star " * 99, padding="max_length", truncation=True).input_ids
    assert len(long) == CONTEXT


def test_standardised_latents_make_the_same_pictures() -> None:
    model = autoencoder.build_autoencoder(1).eval()
    pixels = to_pixels([draw(training_scene(Random(seed)), Random(seed)) for seed in range(4)])

    @torch.inference_mode()
    def pictures() -> torch.Tensor:
        return model.decode(model.encode(pixels).latent_dist.mode()).sample  # type: ignore[no-any-return]

    before = pictures()
    standardise(model, encode(model, 0, 20))
    assert torch.allclose(pictures(), before, atol=1e-4)
    latents = encode(model, 0, 20).float()
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(autoencoder.CHANNELS), atol=0.01)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(autoencoder.CHANNELS), atol=0.01)


def test_a_training_that_was_broken_off_ends_as_if_it_never_had_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the decoder, whose encoder stays as it was."""
    plan = decoder.Plan(steps=4, batch=2, save_every=2, warmup=1)

    def learn(checkpoint: str) -> tuple[dict[str, torch.Tensor], Done]:
        model = autoencoder.build_autoencoder(1).eval()
        done = decoder.train(model, plan, tmp_path / checkpoint)
        return model.state_dict(), done

    whole, done = learn("whole.pt")
    assert done["step"] == plan.steps
    num_drawn = 0

    def broken_draw(scene: Scene, dice: Random) -> Image.Image:
        nonlocal num_drawn
        num_drawn += 1
        if num_drawn > 3 * plan.batch:
            raise KeyboardInterrupt
        return draw(scene, dice)

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "draw", broken_draw)
        with pytest.raises(KeyboardInterrupt):
            learn("broken.pt")
    again, done = learn("broken.pt")
    assert done["step"] == plan.steps
    fresh = autoencoder.build_autoencoder(1).state_dict()
    for name, weight in whole.items():
        assert torch.equal(weight, again[name]), name
        is_trained = name.startswith(("decoder.", "post_quant_conv."))
        assert torch.equal(weight, fresh[name]) != is_trained, name
