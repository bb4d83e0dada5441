"""Makes tiny causal language models with random weights and a real tokenizer."""

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

SPECIAL = ["<|end|>", "<|start|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role ' + message.role) }}"
    "{% endif %}"
    "<|start|>{{ message.role }}\n{{ message.content }}<|end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
CORPUS = [
    "Once upon a time a small fox carried a lantern through the quiet wood.",
    "The river told the stone a story, and the stone kept it for a thousand years.",
    "Streams of water, streams of light, streams of tokens: everything flows.",
    "Grüße aus Köln! Ça va? Привет, мир. 你好，世界。 こんにちは 🦊🏮👩‍👩‍👧",
    "def main():\n    return {'a': [1, 2, 3]}\n",
]
SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 512}
GATED = SMALL | {"intermediate_size": 96, "num_key_value_heads": 2, "initializer_range": 0.2}

SHAPES: dict[str, dict[str, Any]] = {
    "llama": GATED,
    "qwen3": GATED | {"head_dim": 24},
    "mistral": GATED | {"sliding_window": 7},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 512, "initializer_range": 0.2},
    "gemma3_text": GATED
    | {"head_dim": 16, "sliding_window": 7, "sliding_window_pattern": 2}
    # Tied, its scaled embeddings make every token repeat itself.
    | {"tie_word_embeddings": False},
}
MORE_SHAPES: dict[str, dict[str, Any]] = {
    "qwen2": GATED,
    "gemma2": GATED | {"head_dim": 16, "sliding_window": 7, "tie_word_embeddings": False},
    "phi3": GATED,
    "gpt_neox": SMALL | {"intermediate_size": 96, "initializer_range": 0.2},
    "olmo2": GATED,
    "cohere": GATED | {"tie_word_embeddings": False},
    "starcoder2": GATED,
    "granite": GATED,
    "smollm3": GATED | {"no_rope_layer_interval": 2},
    "qwen3_moe": GATED
    | {"head_dim": 24, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48},
    "gpt_oss": GATED | {"head_dim": 16, "sliding_window": 7, "num_local_experts": 4},
}

FAMILIES = tuple(SHAPES)
MORE_FAMILIES = tuple(MORE_SHAPES)


def make_model(folder: Path, family: str, **overrides: Any) -> Path:
    """Save a tiny random `family` model to `folder` as transformers would; the same one every time.

    `overrides` go to the config of the model, except `chat_template`.
    """
    chat_template = overrides.pop("chat_template", CHAT_TEMPLATE)
    tokenizer = make_tokenizer()
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    shape = (SHAPES | MORE_SHAPES)[family] | {
        "vocab_size": len(tokenizer),
        "eos_token_id": 0,
        "bos_token_id": None,
    }
    config = AutoConfig.for_model(family, **(shape | {"pad_token_id": None} | overrides))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    return folder


def make_adapter(folder: Path, base: Path, seed: int = 0, **config: Any) -> Path:
    """Save a random LoRA adapter of the model in `base` to `folder` as peft would; `config` is peft's."""
    defaults: dict[str, Any] = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    lora = LoraConfig(**(defaults | config))
    with torch.random.fork_rng(), warnings.catch_warnings():
        # peft asks transformers by old names, and tells how GPT-2's layers are stored.
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
        for name, weight in model.named_parameters():
            if "lora_" in name:
                # As peft begins, an adapter adds nothing.
                weight.data.normal_(0, 0.3)
        model.save_pretrained(str(folder))
    return folder


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, as of GPT-2: any text has tokens, and characters may span several."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")  # type: ignore[no-untyped-call]
