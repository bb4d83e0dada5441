"""The model of `scripts/bench text`: an 88 M-parameter Llama with random weights, made once per machine.

Its speed is that of a trained model of its shape; its words mean nothing.
"""

import json
import shutil
import sysconfig
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.models import CHAT_TEMPLATE, SPECIAL

FOLDER = Path("~/.cache/sluice/bench/llama-88m-8k").expanduser()
GGUF = "model-bf16.gguf"
VOCAB_SIZE = 16_384
CONFIG = LlamaConfig(
    vocab_size=VOCAB_SIZE,
    num_hidden_layers=12,
    hidden_size=768,
    intermediate_size=2048,
    num_attention_heads=12,
    num_key_value_heads=4,
    max_position_embeddings=8192,
    tie_word_embeddings=True,
    eos_token_id=0,
    bos_token_id=None,
    pad_token_id=None,
)
# Prompts, template included.
MIN_PROMPT_TOKENS, MAX_PROMPT_TOKENS = 30, 40


def model_folder() -> Path:
    """The model as transformers saves it."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=FOLDER.parent))
        _make(making)
        making.rename(FOLDER)
    return FOLDER


def _make(folder: Path) -> None:
    tokenizer = _make_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(CONFIG, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)


def _make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from the sources of Python's own library: text that every machine has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    tokenizer.train_from_iterator([source.read_text("utf-8", "ignore") for source in sources], trainer)
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[0])  # type: ignore[no-untyped-call]


def prompts(tokenizer: PreTrainedTokenizerBase, num_prompts: int) -> list[str]:
    """Each of 30 to 40 tokens as a chat, and different within the first ten."""
    words = Path(json.__file__).with_name("decoder.py").read_text().split()
    found = []
    for i in range(num_prompts):
        text, place = f"Story {i}:", i
        while _num_tokens(tokenizer, text) < MIN_PROMPT_TOKENS + i % 7:
            text, place = f"{text} {words[place % len(words)][:4]}", place + 1
        assert _num_tokens(tokenizer, text) <= MAX_PROMPT_TOKENS, text
        found.append(text)
    return found


def _num_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    messages = [{"role": "user", "content": text}]
    return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


def gguf_file(folder: Path) -> Path:
    """The same model in bfloat16 as llama.cpp reads it; needs the package `gguf`."""
    from scripts.benchmarks.text_gguf import write

    path = folder / GGUF
    if not path.exists():
        making = path.with_suffix(".part")
        write(folder, making)
        shutil.move(making, path)
    return path
