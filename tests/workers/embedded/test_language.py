"""The shipped language model: it loads plainly, chats, stays on the prompt and stops by itself."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from workers.embedded import LANGUAGE
from workers.embedded.training.corpus import render
from workers.embedded.training.evaluate import Answer, Model, Tokenizer, answers, load
from workers.embedded.training.prompts import Prompt, held_out_prompts

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CHAT = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello!"},
    {"role": "assistant", "content": "Hi there!"},
    {"role": "user", "content": "Tell me a story about a fox and a lantern."},
]


@cache
def shipped() -> tuple[Model, Tokenizer]:
    return load(LANGUAGE)


@cache
def answered() -> list[Answer]:
    """Answers to a spread of the held-out prompts: named pairs, other pairs, questions."""
    prompts = held_out_prompts()[::10]
    return answers(*shipped(), prompts, greedy=True)


def test_the_weights_are_at_most_sixteen_megabytes() -> None:
    sizes = [path.stat().st_size for path in LANGUAGE.glob("*.safetensors")]
    assert len(sizes) == 1
    assert sizes[0] <= 16_000_000


def test_it_loads_with_the_plain_auto_classes() -> None:
    model = AutoModelForCausalLM.from_pretrained(LANGUAGE)
    assert isinstance(model, LlamaForCausalLM)
    assert model.generation_config.eos_token_id == AutoTokenizer.from_pretrained(LANGUAGE).eos_token_id
    assert model.config.max_position_embeddings >= 1024


def test_the_chat_template_writes_what_the_training_wrote() -> None:
    tokenizer = shipped()[1]
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == render(CHAT)
    asked = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert asked == render(CHAT) + "<|assistant|>"
    ids = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert ids == tokenizer.encode(asked, add_special_tokens=False)


def test_the_chat_template_refuses_an_unknown_role() -> None:
    with pytest.raises(Exception, match="roles are system, user and assistant"):
        shipped()[1].apply_chat_template([{"role": "owl", "content": "Hoot"}], tokenize=False)


@pytest.mark.parametrize("text", ["Größe 1 024 🦊", "a  b\n\n\tc", "日本語", "<html>&amp;</html>"])
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = shipped()[1]
    ids = tokenizer.encode(text)
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_held_out_prompts_end_by_themselves() -> None:
    given = answered()
    assert sum(one.has_ended for one in given) >= 0.95 * len(given)


def test_stories_are_about_what_was_asked() -> None:
    stories = [one for one in answered() if one.prompt.is_story]
    assert sum(one.prompt.is_met(one.text) for one in stories) >= 0.85 * len(stories)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("Tell me a story about a fox and a lantern.", ("fox", "lantern")),
        ("What is Sluice?", ("sluice", "stream")),
        ("Which port do you use?", ("8080",)),
        ("How do I cancel a stream?", ("cancel",)),
    ],
)
def test_the_first_things_anyone_tries(asked: str, words: tuple[str, ...]) -> None:
    prompt = Prompt(asked, words, is_story=True)
    answer = answers(*shipped(), [prompt], greedy=True)[0]
    assert answer.has_ended
    assert prompt.is_met(answer.text), answer.text


def test_a_raw_prompt_is_continued_as_a_story() -> None:
    model, tokenizer = shipped()
    ids = tokenizer("Once upon a time, there was a small owl named Mira", return_tensors="pt").input_ids
    with torch.inference_mode():
        out = model.generate(ids, do_sample=False, temperature=None, top_p=None, max_new_tokens=400)[0]
    assert out[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(out[ids.shape[1] :], skip_special_tokens=True).count(".") >= 5


def test_the_card_tells_what_was_measured() -> None:
    card = (LANGUAGE / "README.md").read_text()
    for words in ("Perplexity per token", "end with an end token", "What it cannot do", "fox and a lantern"):
        assert words in card
    record = json.loads((LANGUAGE / "training.json").read_text())
    assert record["seconds"] < 90 * 60


def test_importing_the_package_loads_no_tensor_library() -> None:
    code = "import sys, workers.embedded; assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=200)
