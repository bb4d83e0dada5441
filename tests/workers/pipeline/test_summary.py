"""The summary stage, through the engine: parts, their merging, streaming, and what is refused at load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from config.settings import ModelSettings
from tests.models import make_model, make_tokenizer
from tests.workers.pipeline.scripted import run_all, values, work
from tests.workers.pipeline.writers import make_engine, make_writer, stage_settings, summariser
from workers.errors import LoadError
from workers.messages import Event, Finished, StageResult, TextDelta
from workers.pipeline.engine import PipelineEngine

LONG = "The river told the stone a story. A fox carried a lantern through the wood! " * 6


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, settings: ModelSettings) -> PipelineEngine:
    folder = make_writer(tmp_path_factory.mktemp("t5"), "t5", {"no_repeat_ngram_size": 2}, n_positions=64)
    tokenizer_limit = {"max_new_tokens": 12}
    return make_engine(settings, summary=stage_settings("summary", folder, **tokenizer_limit))


def summary(events: list[Event]) -> str:
    (result,) = (event for event in events if isinstance(event, StageResult))
    made: str = values(result.outputs)["made"]
    return made


def streamed(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def summarise(engine: PipelineEngine, text: str, job_id: int = 1, **options: Any) -> list[Event]:
    engine.add(job_id, work("summary", text=text, **options))
    events = run_all(engine)
    assert isinstance(events[-1], Finished)
    assert not engine.job_ids()
    return events


def test_a_long_text_is_summarised_in_parts_that_fit(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "bart", {"no_repeat_ngram_size": 2})
    stage = stage_settings("summary", folder, max_new_tokens=12)
    engine = make_engine(settings, summary=stage)
    model = engine._stages["summary"].model
    parts = model.parts(LONG)
    assert len(parts) > 2
    assert " ".join(parts) == LONG.strip()
    assert all(model.measure(part) <= 64 for part in parts)
    alone = [summary(summarise(engine, part)) for part in parts]
    assert summary(summarise(engine, LONG)) == " ".join(filter(None, alone))


@pytest.mark.parametrize("text", ["Good.", LONG * 3, "Grüße 🦊 " * 40])
def test_what_is_streamed_is_the_result(text: str, tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "bart", {"no_repeat_ngram_size": 2})
    engine = make_engine(settings, summary=stage_settings("summary", folder, max_new_tokens=12))
    events = summarise(engine, text, streams_text=True)
    assert streamed(events) == summary(events) != ""
    assert not streamed(summarise(engine, text))


def test_tokens_are_counted(engine: PipelineEngine) -> None:
    events = summarise(engine, "The river told", streams_text=True)
    last = [event for event in events if isinstance(event, TextDelta)][-1]
    (result,) = (event for event in events if isinstance(event, StageResult))
    assert isinstance(events[-1], Finished)
    assert 0 < last.num_tokens <= result.num_tokens == events[-1].usage.completion_tokens <= 12


def test_an_empty_text_has_an_empty_summary(engine: PipelineEngine) -> None:
    assert summary(summarise(engine, "")) == ""
    assert summary(summarise(engine, " \n ")) == ""


def test_a_cancelled_job_ends_and_its_neighbour_goes_on(engine: PipelineEngine) -> None:
    alone = summary(summarise(engine, "The river told"))
    engine.add(1, work("summary", text="The river told"))
    engine.add(2, work("summary", text="The river told"))
    events = [event for _ in range(4) for event in engine.step()]
    engine.cancel(2)
    events += run_all(engine)
    ends = {event.job_id: event.reason for event in events if isinstance(event, Finished)}
    assert ends == {1: "completed", 2: "cancelled"}
    assert summary(events) == alone


def test_t5_is_told_what_to_do(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "t5")
    assert summariser(folder, settings).framing.find("").before == "summarize: "
    assert summariser(folder, settings, prompt="kurz: ").framing.find("").before == "kurz: "


def test_a_causal_model_is_told_in_a_turn_of_its_chat(tmp_path: Path, settings: ModelSettings) -> None:
    frame = summariser(make_model(tmp_path, "llama"), settings).framing.find("")
    assert frame.is_whole
    assert frame.before.startswith("<|start|>user\nSummarize the following text")
    assert frame.after == "<|end|><|start|>assistant\n"


def test_a_causal_model_without_a_chat_template_is_told_plainly(
    tmp_path: Path, settings: ModelSettings
) -> None:
    frame = summariser(make_writer(tmp_path, "gpt2"), settings).framing.find("")
    assert (frame.before, frame.after) == ("", "\n\nTL;DR:")


def test_prompt_and_answer_share_a_causal_models_room(tmp_path: Path, settings: ModelSettings) -> None:
    model = summariser(make_writer(tmp_path, "llama"), settings, max_new_tokens=400)
    assert all(model.measure(part) <= 512 - 400 for part in model.parts(LONG * 4))
    with pytest.raises(
        LoadError, match=r"has room for prompt and answer of 512 tokens, of which -?\d+ would"
    ):
        summariser(tmp_path, settings, max_new_tokens=500)


def test_what_is_no_model_that_writes_is_refused(tmp_path: Path, settings: ModelSettings) -> None:
    make_tokenizer().save_pretrained(tmp_path)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    config = AutoConfig.for_model("bert", **shape, vocab_size=400, initializer_range=0.2)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="BertLMHeadModel that reads what follows"):
        summariser(tmp_path, settings)


def test_what_its_generation_config_asks_for_must_be_known(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "t5", {"guidance_scale": 1.5})
    with pytest.raises(LoadError, match=r"asks for guidance_scale 1\.5, which is not supported"):
        summariser(folder, settings)


def test_a_model_that_cannot_take_a_step_is_refused(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "t5", vocab_size=4)
    with pytest.raises(LoadError, match=r'model ".*": it cannot write: IndexError'):
        summariser(folder, settings)


def test_missing_weights_are_refused(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "bart")
    weights = load_file(folder / "model.safetensors")
    del weights["model.decoder.layers.1.fc1.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(LoadError, match=r"1 weights are missing, the first is .*fc1"):
        summariser(folder, settings)


def test_a_missing_folder_is_refused(settings: ModelSettings) -> None:
    with pytest.raises(LoadError, match="does not exist"):
        summariser(Path("./not-there"), settings)


def test_weights_in_bfloat16_are_read_as_float32(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "t5")
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    loaded = summariser(folder, settings)
    assert loaded._model.dtype == torch.float32
    assert "float32 on cpu" in loaded.description
