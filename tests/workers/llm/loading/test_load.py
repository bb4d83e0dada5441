"""What cannot be served is refused at load, in one line that says why."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    Llama4ForCausalLM,
    Llama4TextConfig,
    MambaConfig,
    MambaForCausalLM,
)

from tests.models import make_model, make_tokenizer
from tests.workers.llm.driver import make_settings
from workers.errors import LoadError
from workers.llm.engine import LlmEngine
from workers.llm.loading import load as loading


def refusal(path: Path | str, **settings: Any) -> str:
    with pytest.raises(LoadError) as caught:
        LlmEngine("test", make_settings(path, **settings))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", ["/not/there", "./not", "not-there", "a/b/c"])
def test_no_folder(path: str) -> None:
    assert refusal(path) == f'model folder "{path}" does not exist'


def test_no_config(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f'model folder "{tmp_path}" has no config.json'


def test_broken_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    assert "cannot be read" in refusal(tmp_path)


def test_hub_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to the hub\nand more lines")

    monkeypatch.setattr(loading.AutoConfig, "from_pretrained", fail)
    assert refusal("some/model") == 'model "some/model" cannot be read: We couldn\'t connect to the hub'


def test_no_language_model(tmp_path: Path) -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    model = BertModel(config)
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    tree = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(tree | {"model_type": "vit"}))
    assert "no causal language model" in refusal(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tree))
    assert "cannot be loaded" in refusal(tmp_path) or "not causal" in refusal(tmp_path)


def test_no_attention_interface(tmp_path: Path) -> None:
    config = MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=400, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert "MambaForCausalLM is not supported" in message
    assert "attention interface" in message


def test_no_tokenizer(tmp_path: Path) -> None:
    make_model(tmp_path, "llama")
    for file in tmp_path.glob("*token*"):
        file.unlink()
    assert "no usable tokenizer" in refusal(tmp_path)


def test_missing_weights(tmp_path: Path) -> None:
    make_model(tmp_path, "llama")
    tree = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(tree | {"num_hidden_layers": 4}))
    assert "weights are missing" in refusal(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert "cannot be loaded" in refusal(tmp_path)


def test_state_beside_the_cache(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose text depends on how it is cut into chunks."""
    from transformers.models.llama.modeling_llama import LlamaMLP

    plain = LlamaMLP.forward

    def shifting(self: LlamaMLP, x: torch.Tensor) -> torch.Tensor:
        return plain(self, x + torch.roll(x, 1, dims=1))

    monkeypatch.setattr(LlamaMLP, "forward", shifting)
    assert "computed in chunks" in refusal(llama)


def test_limits_of_the_model(llama: Path) -> None:
    assert "max_model_len 513 > 512" in refusal(llama, max_model_len=513)
    assert "cache_bytes 10 <" in refusal(llama, cache_bytes=10)


def test_longrope_ends_where_its_angles_change(tmp_path: Path) -> None:
    factors = [1.0] * 8
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": factors, "long_factor": factors}
    folder = make_model(tmp_path, "llama", rope_parameters=rope | {"original_max_position_embeddings": 64})
    assert LlmEngine("test", make_settings(folder)).limits.max_model_len == 64


def test_chunked_attention(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1}
    experts = {"num_local_experts": 1, "intermediate_size": 8, "intermediate_size_mlp": 8}
    config = Llama4TextConfig(vocab_size=400, head_dim=8, pad_token_id=0, **sizes, **experts)
    Llama4ForCausalLM(config).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    assert "chunked_attention" in refusal(tmp_path)


def test_devices(llama: Path) -> None:
    if not torch.cuda.is_available():
        assert 'device "cuda" is not there' in refusal(llama, device="cuda")
    assert "not there" in refusal(llama, device="cuda:99")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(llama: Path, dtype: str) -> None:
    engine = LlmEngine("test", make_settings(llama, dtype=dtype, device="cpu"))
    assert f"{dtype} on cpu" in engine.limits.description


@pytest.mark.parametrize(
    ("saved", "able", "expected"),
    [("bfloat16", True, "bfloat16"), ("bfloat16", False, "float32"), ("float32", True, "float32")],
)
def test_the_dtype_on_a_cpu(
    saved: str, able: bool, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.llm.loading.load._multiplies_bfloat16", lambda: able)
    folder = make_model(tmp_path, "llama")
    AutoModelForCausalLM.from_pretrained(folder, dtype=saved).save_pretrained(folder)
    engine = LlmEngine("test", make_settings(folder, device="cpu"))
    assert f"{expected} on cpu" in engine.limits.description


def test_the_embedded_model_is_float32_on_every_cpu() -> None:
    engine = LlmEngine("test", make_settings("embedded", device="cpu"))
    assert "float32 on cpu" in engine.limits.description


def test_cache_is_sized_from_free_memory(llama: Path) -> None:
    """Never more than all sequences at full length."""
    engine = LlmEngine("test", make_settings(llama, cache_bytes=0, max_num_seqs=3, block_tokens=16))
    assert engine._allocator.num_blocks == 3 * 512 // 16


def test_the_tokenizer_is_fast() -> None:
    assert isinstance(make_tokenizer().backend_tokenizer, Tokenizer)
