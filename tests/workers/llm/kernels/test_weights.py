"""Weights that are bfloat16 in float32 too are packed in half the space; what comes of them is the same."""

import ctypes
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests.models import make_adapter, make_model
from tests.workers.llm.driver import Driver
from workers.llm.kernels.build import library_path
from workers.llm.kernels.library import Kernels, kernels_for
from workers.llm.kernels.packing import packed_sizes
from workers.llm.kernels.pages import Pages
from workers.llm.kernels.products import KernelProduct

PROMPT = [*range(20, 31)]
# Inputs and outputs: columns that fill no vector, no pair of them and no panel, and one sweep after another.
SHAPES = [(1, 1), (3, 17), (65, 33), (64, 64), (768, 101), (2048, 160), (130, 1500)]
NUM_ROWS = (1, 2, 3, 4, 5, 6, 7, 13, 32, 100)


@pytest.fixture(scope="module", params=["native", "x86-64-v3"])
def kernels(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernels]:
    """For this processor, and for one whose vectors have 256 bits."""
    if request.param == "native":
        made = kernels_for(torch.float32)
        assert made
        yield made
        return
    if platform.machine() != "x86_64":
        pytest.skip("another kind of processor")
    folder = tmp_path_factory.mktemp("kernels")
    compiler = folder / "cc"
    compiler.write_text(f'#!/bin/sh\nexec cc "$@" -march={request.param}\n')
    compiler.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", str(compiler))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        made = Kernels(ctypes.CDLL(str(library_path())), torch.float32)
        assert not made.has_products
        yield made


def rounded(*shape: int) -> Tensor:
    return torch.randn(*shape).bfloat16().float()


def same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "none"])
@torch.inference_mode()
def test_bit_for_bit_as_in_full(
    kernels: Kernels, shape: tuple[int, int], has_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    num_inputs, num_outputs = shape
    weight, bias = rounded(num_outputs, num_inputs), torch.randn(num_outputs) if has_bias else None
    weight[0, 0], weight[-1, -1] = -0.0, 1e-39
    weight[num_outputs // 2, num_inputs // 2] = torch.inf
    weight = weight.bfloat16().float()
    half = KernelProduct(kernels, weight, bias, Pages())
    monkeypatch.setattr(Kernels, "packing_for", lambda kernels, _: kernels._whole)
    full = KernelProduct(kernels, weight, bias, Pages())
    assert (half.weight.dtype, full.weight.dtype) == (torch.bfloat16, torch.float32)
    assert half.weight.nbytes * 2 == full.weight.nbytes
    x = torch.randn(1, max(NUM_ROWS), num_inputs)
    for num_rows in NUM_ROWS:
        assert same_bits(half(x[:, :num_rows]), full(x[:, :num_rows])), num_rows
        added = torch.randn(num_rows, num_outputs)
        assert same_bits(onto(half, x, added), onto(full, x, added)), num_rows


def onto(product: KernelProduct, x: Tensor, added: Tensor) -> Tensor:
    """With what comes on top, in place."""
    output = added.clone()
    product.call(x.data_ptr(), output.data_ptr(), output.data_ptr(), len(added))
    return output


@pytest.mark.parametrize("place", [0, 1, 1023, 1024, 64 * 65 - 1])
@torch.inference_mode()
def test_one_number_of_more_bits_keeps_the_weight_whole(kernels: Kernels, place: int) -> None:
    torch.manual_seed(1)
    weight = rounded(64, 65)
    assert KernelProduct(kernels, weight, None, Pages()).weight.dtype == torch.bfloat16
    weight.view(-1).view(torch.int32)[place] |= 1
    product = KernelProduct(kernels, weight, None, Pages())
    assert product.weight.dtype == torch.float32
    # Each row of one 1 gives the weights of one input.
    assert same_bits(product(torch.eye(65)[None])[0], weight.t().contiguous())


@torch.inference_mode()
def test_numbers_come_back_from_half_of_the_space(kernels: Kernels) -> None:
    weight = rounded(150, 65)
    product = KernelProduct(kernels, weight, None, Pages())
    assert product.weight.dtype == torch.bfloat16
    assert same_bits(product(torch.eye(65)[None])[0], weight.t().contiguous())


@pytest.fixture(scope="module")
def saved_in_bfloat16(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make(family: str, **overrides: object) -> Path:
        folder = make_model(tmp_path_factory.mktemp(family), family, **overrides)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        model.save_pretrained(folder)
        return folder

    return make


# With a bias and without, tied and not, with Conv1D.
@pytest.mark.parametrize(
    ("family", "overrides"),
    [("llama", {}), ("llama", {"tie_word_embeddings": True}), ("qwen2", {}), ("gpt2", {})],
    ids=["llama", "tied", "qwen2", "gpt2"],
)
def test_a_model_saved_in_bfloat16(
    family: str,
    overrides: dict[str, object],
    saved_in_bfloat16: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In float32 it says the same with kernels and without."""
    kernels = kernels_for(torch.float32)
    assert kernels
    folder = saved_in_bfloat16(family, **overrides)
    with caplog.at_level("INFO"):
        driver = Driver(folder, dtype="float32")
    sizes = packed_sizes(driver.runner._model)
    (told,) = [vars(record) for record in caplog.records if record.message == "weights packed"]
    assert {name: told[name] for name in sizes} == sizes
    assert sizes["products"] == sizes["in_16_bits"] and bool(sizes["products"]) is kernels.has_products
    found = driver.generate(PROMPT).token_ids
    assert found == Driver(folder, dtype="float32", kernels="off").generate(PROMPT).token_ids


def test_a_model_saved_in_float32(llama: Path) -> None:
    assert packed_sizes(Driver(llama, dtype="float32").runner._model)["in_16_bits"] == 0


def test_an_adapter_saved_in_bfloat16(saved_in_bfloat16: Callable[..., Path], tmp_path: Path) -> None:
    """Its factors are products too, of rows that are not the step's first."""
    base = saved_in_bfloat16("llama")
    adapter = make_adapter(tmp_path / "adapter", base)
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(file).items()}, file)
    said = []
    for kernels in ("auto", "off"):
        driver = Driver(base, dtype="float32", kernels=kernels, adapters={"a": str(adapter)})
        jobs = [driver.add_tokens(PROMPT, adapter=name) for name in ("", "a")]
        driver.run()
        said.append([driver.token_ids(job_id) for job_id in jobs])
    assert said[0] == said[1]
    assert said[0][0] != said[0][1]
