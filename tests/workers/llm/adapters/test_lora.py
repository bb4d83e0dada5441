"""What is no LoRA of the model, or more than one, is refused at load, in one line that names its folder."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.models import make_adapter, make_model
from tests.workers.llm.driver import GREEDY, Driver, make_settings
from workers.errors import LoadError
from workers.llm.engine import LlmEngine

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def refusal(base: Path, adapter: Path | str, **settings: Any) -> str:
    with pytest.raises(LoadError) as caught:
        LlmEngine("test", make_settings(base, adapters={"mine": str(adapter)}, **settings))
    message = str(caught.value)
    begin = f'adapter "mine" ({adapter}) cannot be used: '
    assert message.startswith(begin)
    assert "\n" not in message
    return message.removeprefix(begin)


@pytest.fixture
def adapter(tmp_path: Path, llama: Path) -> Path:
    return make_adapter(tmp_path / "adapter", llama)


def change_config(adapter: Path, **values: Any) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(config | values))


def change_weights(adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(adapter / WEIGHTS)
    change(weights)
    save_file(weights, adapter / WEIGHTS)


@pytest.mark.parametrize("path", ["/not/there", "./not", "not-there", "a/b/c"])
def test_no_folder(llama: Path, path: str) -> None:
    assert refusal(llama, path) == "the folder does not exist"


def test_missing_files(llama: Path, adapter: Path) -> None:
    (adapter / WEIGHTS).unlink()
    assert refusal(llama, adapter) == f"the folder has no {WEIGHTS} and no adapter_model.bin"
    (adapter / CONFIG).unlink()
    assert refusal(llama, adapter) == f"the folder has no {CONFIG}"
    assert refusal(llama, llama) == f"the folder has no {CONFIG}"


def test_broken_files(llama: Path, adapter: Path) -> None:
    whole = (adapter / WEIGHTS).read_bytes()
    (adapter / WEIGHTS).write_bytes(whole[:100])
    assert "header" in refusal(llama, adapter).lower()
    (adapter / CONFIG).write_text("{")
    assert refusal(llama, adapter)


def test_another_kind(tmp_path: Path, llama: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama)
    config = IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    with warnings.catch_warnings():
        # peft asks transformers by old names.
        warnings.simplefilter("ignore")
        get_peft_model(model, config).save_pretrained(tmp_path)
    assert refusal(llama, tmp_path) == "it is of type IA3, not LORA"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"use_dora": True}, "use_dora is not supported"),
        ({"modules_to_save": ["embed_tokens"]}, "modules_to_save is not supported"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices is not supported"),
        ({"lora_bias": True}, "lora_bias is not supported"),
        ({"bias": "all"}, 'bias = "all" is not supported, only "none"'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights = "pissa" changes the base'),
        ({"target_modules": ["nope"]}, "nope"),
        ({"target_modules": ["q_proj"]}, "it has weights for what the model has not: 36, the first is "),
        ({"r": 5}, "size mismatch"),
        ({"target_modules": ["embed_tokens"]}, "model.embed_tokens is a Embedding"),
    ],
    ids=str,
)
def test_more_than_a_lora(llama: Path, adapter: Path, values: dict[str, Any], words: str) -> None:
    change_config(adapter, **values)
    if values.get("target_modules") == ["embed_tokens"]:
        make_adapter(adapter, llama, target_modules=["embed_tokens"])
    assert words in refusal(llama, adapter)


def test_the_output_layer(llama: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path, llama, target_modules=["q_proj", "lm_head"])
    assert refusal(llama, adapter) == "lm_head is the output layer, which is not supported"


def test_an_adapter_of_another_base(tmp_path: Path, llama: Path, adapter: Path) -> None:
    wide = make_model(tmp_path / "wide", "llama", hidden_size=32)
    assert "size mismatch" in refusal(wide, adapter)
    deep = make_model(tmp_path / "deep", "llama", num_hidden_layers=4)
    assert refusal(deep, adapter).startswith(
        "it misses weights: 14, the first is base_model.model.model.layers.3."
    )
    flat = make_model(tmp_path / "flat", "llama", num_hidden_layers=2)
    assert "it has weights for what the model has not: 14, the first is" in refusal(flat, adapter)


def test_a_mixture_of_experts(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Its experts are no layers that are called with all tokens; its attention is."""
    base = model_folder("qwen3_moe")
    experts = make_adapter(tmp_path / "experts", base)
    assert refusal(base, experts) == "target_parameters is not supported"
    attention = make_adapter(tmp_path / "attention", base, target_modules=["q_proj", "o_proj"])
    driver = Driver(base, adapters={"mine": str(attention)})
    plain, adapted = (driver.generate([5, 6, 7], GREEDY, adapter=name).token_ids for name in ("", "mine"))
    assert plain != adapted


def test_too_high_a_rank(llama: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path, llama, r=2, rank_pattern={"layers.1.mlp.up_proj": 9})
    message = refusal(llama, adapter, max_adapter_rank=8)
    assert message == "its rank in model.layers.1.mlp.up_proj is 9 > 8 (max_adapter_rank)"
    Driver(llama, adapters={"mine": str(adapter)}, max_adapter_rank=9).generate([5], GREEDY, adapter="mine")


def test_weights_that_are_no_numbers(llama: Path, adapter: Path) -> None:
    change_weights(adapter, lambda weights: weights[max(weights)].fill_(torch.nan))
    assert refusal(llama, adapter).endswith("are no numbers")


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_what_peft_would_not_say_is_refused(
    llama: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch, kernels: str
) -> None:
    """The self-check: with an adapter the model has to say what it says with peft's layers in it."""
    for what in ("TorchPair.add", "PackedPair.add", "KernelPair.call"):
        monkeypatch.setattr(f"workers.llm.adapters.deltas.{what}", lambda *_: None)
    with pytest.raises(LoadError, match=r'adapter "mine" of a LlamaForCausalLM .* off by \d+% from peft\'s'):
        Driver(llama, kernels=kernels, adapters={"mine": str(adapter)})


def test_by_regular_expression_and_in_half_precision(llama: Path, tmp_path: Path) -> None:
    """bfloat16: the self-check alone judges, which compares with peft in the same dtype."""
    adapter = make_adapter(tmp_path, llama, target_modules=r".*\.(0|2)\..*(q_proj|up_proj)", r=3)
    driver = Driver(llama, adapters={"mine": str(adapter)}, dtype="bfloat16")
    plain, adapted = (driver.generate([5, 6, 7], GREEDY, adapter=name).token_ids for name in ("", "mine"))
    assert plain != adapted
