"""What stands in for a model's modules, and that what is not known stays as it was."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from tests.models import FAMILIES, MORE_FAMILIES, make_model
from tests.workers.llm.driver import Driver
from workers.llm.kernels.library import kernels_for
from workers.llm.kernels.packing import Packer, Sibling, pack
from workers.llm.kernels.pages import Pages
from workers.llm.kernels.products import DnnProduct, KernelProduct, Product

# Of 3 layers, and of all modules.
EXPECTED = {
    "llama": {"FastAttention": 3, "FastGated": 3, "FastNorm": 7, "FastLayer": 3},
    "qwen2": {"FastLayer": 3, "FastAttention": 3, "FastGated": 3, "FastNorm": 7},
    "qwen3": {"FastLayer": 3, "FastAttention": 3, "FastGated": 3, "FastNorm": 7 + 6},
    "mistral": {"FastLayer": 3, "FastAttention": 3, "FastGated": 3, "FastNorm": 7},
    "gemma3_text": {"FastAttention": 3, "FastGated": 3, "FastNorm": 13 + 6},
    "gemma2": {"FastLayer": 0, "FastAttention": 3, "FastGated": 3, "FastNorm": 13},
    "phi3": {"FastLayer": 3, "FastAttention": 3, "FastGated": 3, "FastNorm": 7},
    "granite": {"FastLayer": 3, "FastAttention": 3, "FastGated": 3, "FastNorm": 7},
    "smollm3": {"FastLayer": 3, "FastAttention": 2, "FastUnturned": 1, "FastGated": 3, "FastNorm": 7},
    "starcoder2": {"FastAttention": 3, "FastGated": 0, "LayerNorm": 7},
    "olmo2": {"FastAttention": 0, "Olmo2Attention": 3, "FastGated": 3, "FastNorm": 13},
    "cohere": {"FastAttention": 0, "FastGated": 3, "CohereLayerNorm": 4},
    "gpt2": {"FastUnturned": 3, "LayerNorm": 7},
    "gpt_neox": {"FastAttention": 0, "LayerNorm": 7},
    "qwen3_moe": {"FastAttention": 3, "FastNorm": 13},
    "gpt_oss": {"GptOssAttention": 3, "FastNorm": 7},
}


def modules_of(driver: Driver) -> Counter[str]:
    return Counter(type(module).__name__ for module in driver.runner._model.modules())


@pytest.mark.parametrize("family", FAMILIES + MORE_FAMILIES)
def test_what_stands_in(family: str, model_folder: Callable[[str], Path]) -> None:
    found = modules_of(Driver(model_folder(family)))
    assert {name: found[name] for name in EXPECTED[family]} == EXPECTED[family]
    assert found["Linear"] == found["Conv1D"] == 0


def test_off(llama: Path) -> None:
    found = modules_of(Driver(llama, kernels="off"))
    assert (found["Linear"], found["KernelProduct"], found["FastNorm"]) == (3 * 7 + 1, 0, 0)


def test_a_residual_that_is_scaled(tmp_path: Path) -> None:
    """A layer that does something else between its parts keeps its own way of putting them together."""
    found = modules_of(Driver(make_model(tmp_path, "granite", residual_multiplier=0.5)))
    assert (found["FastLayer"], found["FastAttention"], found["FastGated"]) == (0, 3, 3)


def test_bfloat16(llama: Path) -> None:
    """Its arithmetic is coarse; what stands in is still found."""
    found = modules_of(Driver(llama, dtype="bfloat16"))
    expected = EXPECTED["llama"]
    assert {name: found[name] for name in expected} == expected


def test_a_model_that_cannot_be_swapped_is_loaded_anew(
    llama: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prompt = [*range(20, 31)]
    expected = Driver(llama).generate(prompt).token_ids

    def spoil(model: nn.Module, *_: object) -> None:
        model.model.norm.weight.zero_()  # type: ignore[union-attr,operator]

    monkeypatch.setattr("workers.llm.loading.prepare.optimise", spoil)
    driver = Driver(llama)
    assert "not with kernels" in caplog.text
    assert modules_of(driver)["Linear"] == 3 * 7 + 1
    assert driver.generate(prompt).token_ids == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(64, 96), (2048, 768), (1500, 101), (4864, 896)], ids=str)
@pytest.mark.parametrize("is_own", [True, False], ids=["kernel", "oneDNN"])
@torch.inference_mode()
def test_a_row_has_the_same_bits_among_any_number(
    is_own: bool, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    kernels = kernels_for(dtype)
    assert kernels
    weight, bias = torch.randn(shape[1], shape[0]).to(dtype), torch.randn(shape[1]).to(dtype)
    product: Product = KernelProduct(kernels, weight, bias, Pages()) if is_own else DnnProduct(weight, bias)
    x = torch.randn(1, 300, shape[0]).to(dtype)
    whole = product(x)
    error = (whole - linear(x, weight, bias)).norm() / whole.norm()
    assert error < (1e-5 if dtype == torch.float32 else 0.005)
    for num_rows in (1, 2, 3, 4, 7, 16, 31, 32, 33, 64, 100):
        assert torch.equal(product(x[:, :num_rows]), whole[:, :num_rows]), num_rows
        assert torch.equal(product(x[:, 50 : 50 + num_rows]), whole[:, 50 : 50 + num_rows]), num_rows
    assert product(x[:, :0]).shape == (1, 0, shape[1])


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 4), nn.Linear(8, 6, bias=False)
        self.third = Conv1D(5, 6)  # type: ignore[no-untyped-call]


@torch.inference_mode()
def test_families_and_conv1d() -> None:
    parent = Parent()
    x = torch.randn(1, 3, 8)
    expected = parent.first(x), parent.second(x), parent.third(parent.second(x))
    second = parent.second.weight
    kernels = kernels_for(torch.float32)
    assert kernels
    pack(parent, [[parent.first, parent.second]], Packer(kernels))
    for _ in range(2):
        found = parent.first(x), parent.second(x), parent.third(parent.second(x.clone()))
        torch.testing.assert_close(found, expected)
    assert isinstance(parent.second, Sibling)
    torch.testing.assert_close(parent.second(x), linear(x, second))
