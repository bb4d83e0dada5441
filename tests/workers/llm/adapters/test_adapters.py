"""Several adapters and the model itself in one batch: each answers as peft's own `generate` does."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.models import make_adapter
from tests.workers.llm.driver import GREEDY, Driver, change, little_cache
from tests.workers.llm.test_parity import PROMPTS
from workers.errors import JobError
from workers.llm.kernels.packing import Packer
from workers.llm.kernels.products import DnnProduct
from workers.messages import Finished, TextWork, TokenPrompt

NUM_TOKENS = 14
SAMPLING = change(GREEDY, max_tokens=NUM_TOKENS)
FAMILIES = ("llama", "qwen2", "gpt2", "phi3", "mistral", "qwen3")
# Names of attention's output and of a part that some of these models compute with others as one.
FEW = {"gpt2": ["c_attn"], "phi3": ["qkv_proj", "o_proj"]}
NAMES = ("", "broad", "narrow")

Adapted = Callable[[str, str, list[int]], list[int]]


@pytest.fixture(scope="session")
def adapters(
    model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, str]]:
    """Two adapters of a family's tiny model: of all layers, and of few by patterns of ranks and alphas."""

    @cache
    def make(family: str) -> dict[str, str]:
        base, folder = model_folder(family), tmp_path_factory.mktemp("adapters")
        targets = FEW.get(family, ["q_proj", "v_proj", "down_proj"])
        narrow: dict[str, Any] = {"r": 3, "use_rslora": True, "target_modules": targets}
        patterns = {"rank_pattern": {targets[0]: 5}, "alpha_pattern": {targets[-1]: 2}}
        return {
            "broad": str(make_adapter(folder / "broad", base, seed=1)),
            "narrow": str(make_adapter(folder / "narrow", base, seed=2, **(narrow | patterns))),
        }

    return make


@pytest.fixture(scope="session")
def by_peft(model_folder: Callable[[str], Path], adapters: Callable[[str], dict[str, str]]) -> Adapted:
    """peft's greedy answer of a family's model with the adapter of that name; "" for none."""

    @cache
    def model_of(family: str) -> PeftModel:
        base = AutoModelForCausalLM.from_pretrained(model_folder(family))
        base.generation_config.eos_token_id = None
        base.generation_config.pad_token_id = 0
        (first, folder), *others = adapters(family).items()
        with warnings.catch_warnings():
            # peft asks transformers by old names, and tells how GPT-2's layers are stored.
            warnings.simplefilter("ignore")
            model = PeftModel.from_pretrained(base, folder, first)
            for name, folder in others:
                model.load_adapter(folder, name)
        return model

    @cache
    def answer(family: str, name: str, prompt: tuple[int, ...]) -> list[int]:
        model, input_ids = model_of(family), torch.tensor([prompt])
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        options: dict[str, Any] = {"do_sample": False, "max_new_tokens": NUM_TOKENS}
        if not name:
            with model.disable_adapter():
                return model.generate(**inputs, **options)[0, len(prompt) :].tolist()
        model.set_adapter(name)
        return model.generate(**inputs, **options)[0, len(prompt) :].tolist()

    return lambda family, name, prompt: answer(family, name, tuple(prompt))


@pytest.mark.parametrize("kernels", ["auto", "off"])
@pytest.mark.parametrize("family", FAMILIES)
def test_all_in_one_batch(
    family: str,
    kernels: str,
    model_folder: Callable[[str], Path],
    adapters: Callable[[str], dict[str, str]],
    by_peft: Adapted,
) -> None:
    """The same prompts under each name, joining and leaving, with blocks lost and found again."""
    folder = model_folder(family)
    settings = little_cache(folder, 40) | {"max_batched_tokens": 40}
    driver = Driver(folder, kernels=kernels, adapters=adapters(family), **settings)
    jobs = []
    for prompt in PROMPTS:
        jobs += [(name, prompt, driver.add_tokens(prompt, SAMPLING, adapter=name)) for name in NAMES]
        leaver = driver.add_tokens(prompt[::-1], SAMPLING, adapter="broad")
        driver.step()
        driver.engine.cancel(leaver)
    driver.run()
    for prompt in (PROMPTS[7], PROMPTS[7] + [9]):
        jobs += [(name, prompt, driver.add_tokens(prompt, SAMPLING, adapter=name)) for name in NAMES]
        driver.run()
    assert driver.engine.stats().num_preemptions
    assert driver.engine.stats().num_shared_tokens
    for name, prompt, job_id in jobs:
        assert driver.token_ids(job_id) == by_peft(family, name, prompt), (name, len(prompt))
    answers = {name: [by_peft(family, name, prompt) for prompt in PROMPTS] for name in NAMES}
    assert all(answers[""][place] != answers[name][place] for name in NAMES[1:] for place in range(9))


def test_blocks_are_shared_under_one_name_only(
    llama: Path, adapters: Callable[[str], dict[str, str]]
) -> None:
    driver = Driver(llama, block_tokens=4, adapters=adapters("llama"))
    found = []
    for name in (*NAMES, *NAMES):
        job_id = driver.add_tokens(PROMPTS[7], SAMPLING, adapter=name)
        driver.run()
        end = driver.transcripts[job_id].end
        assert isinstance(end, Finished)
        found.append(end.usage.cached_tokens)
    assert found == [0, 0, 0, 60, 60, 60]


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_drafts(
    kernels: str, llama: Path, adapters: Callable[[str], dict[str, str]], by_peft: Adapted
) -> None:
    """What repeats itself is guessed under an adapter too, and the guesses are judged by it."""
    prompts = [prompt * 2 for prompt in PROMPTS[2:5]]
    driver = Driver(llama, kernels=kernels, adapters=adapters("llama"), speculation="prompt_lookup")
    jobs = [(n, p, driver.add_tokens(p, SAMPLING, adapter=n)) for p in prompts for n in NAMES]
    driver.run()
    for name, prompt, job_id in jobs:
        assert driver.token_ids(job_id) == by_peft("llama", name, prompt)
    assert driver.engine.stats().num_drafted_tokens


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_products_by_onednn(
    family: str,
    model_folder: Callable[[str], Path],
    adapters: Callable[[str], dict[str, str]],
    by_peft: Adapted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a processor that our own products have no vectors for."""
    monkeypatch.setattr(Packer, "_is_for_kernel", lambda *_: False)
    driver = Driver(model_folder(family), adapters=adapters(family))
    assert any(isinstance(module, DnnProduct) for module in driver.runner._model.modules())
    jobs = [(n, p, driver.add_tokens(p, SAMPLING, adapter=n)) for p in PROMPTS for n in NAMES]
    driver.run()
    for name, prompt, job_id in jobs:
        assert driver.token_ids(job_id) == by_peft(family, name, prompt)


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_steps_ahead(
    kernels: str, llama: Path, adapters: Callable[[str], dict[str, str]], by_peft: Adapted
) -> None:
    """A step's tokens find their rows in the next, in which others have joined before and between them."""
    driver = Driver(llama, kernels=kernels, adapters=adapters("llama"), step_ahead="on")
    jobs = []
    for place, prompt in enumerate(PROMPTS):
        name = NAMES[-place % 3]
        jobs.append((name, prompt, driver.add_tokens(prompt, SAMPLING, adapter=name)))
        driver.step()
    driver.run()
    for name, prompt, job_id in jobs:
        assert driver.token_ids(job_id) == by_peft("llama", name, prompt)


def test_a_neighbour_changes_nothing(llama: Path, adapters: Callable[[str], dict[str, str]]) -> None:
    """The same seed gives the same answer alone and beside rows of other adapters."""
    sampling = change(GREEDY, temperature=1.0, seed=11, max_tokens=NUM_TOKENS)
    driver = Driver(llama, adapters=adapters("llama"))
    alone = [driver.generate(PROMPTS[4], sampling, adapter=name).token_ids for name in NAMES]
    job_ids = [driver.add_tokens(PROMPTS[4], sampling, adapter=name) for name in NAMES]
    others = [driver.add_tokens(prompt, SAMPLING, adapter=name) for prompt in PROMPTS for name in NAMES]
    driver.run()
    assert [driver.token_ids(job_id) for job_id in job_ids] == alone
    assert all(driver.answer(job_id).reason == "length" for job_id in others)


def test_what_is_unknown_is_named(llama: Path, adapters: Callable[[str], dict[str, str]]) -> None:
    driver = Driver(llama, adapters=adapters("llama"))
    with pytest.raises(JobError, match="adapter 'pirate' is unknown; there is: broad, narrow") as caught:
        driver.engine.add(1, TextWork([TokenPrompt([5])], GREEDY, adapter="pirate"))
    assert (caught.value.code, caught.value.param) == ("bad_params", "model")
    assert "2 adapters" in driver.engine.limits.description
    driver.generate([5, 6], GREEDY)
