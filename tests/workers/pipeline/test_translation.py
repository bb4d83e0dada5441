"""The translation stage: languages, how each kind of model is told of them, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from config.settings import ModelSettings
from tests.models import make_model
from tests.workers.pipeline.scripted import run_all, values, work
from tests.workers.pipeline.writers import make_engine, make_writer, stage_settings, translator
from tests.workers.pipeline.writing_tokenizers import NLLB_CODES, sentencepiece_model
from workers.errors import JobError, LoadError
from workers.messages import StageResult

TEXT = "The river told the stone a story. A fox carried a lantern!  Good."


def refused(model: Any, language: str) -> str:
    with pytest.raises(JobError) as caught:
        model.framing.find(language)
    assert (caught.value.code, caught.value.param) == ("bad_params", "target_language")
    return caught.value.message


def test_nllb(tmp_path: Path, settings: ModelSettings) -> None:
    model = translator(make_writer(tmp_path, "nllb"), settings)
    tokenizer: Any = model._intake._tokenizer
    assert tokenizer.src_lang == "eng_Latn"
    ids = {code: tokenizer.convert_tokens_to_ids(code) for code in NLLB_CODES}
    assert len(set(ids.values())) == len(NLLB_CODES)
    assert model.framing.find("").first_id == model.framing.find("de").first_id == ids["deu_Latn"]
    assert model.framing.find("zh-TW").first_id == ids["zho_Hant"]
    assert refused(model, "it") == (
        "$.target_language: 'it' is not what the model writes: "
        "arb_Arab, deu_Latn, eng_Latn, fra_Latn, kor_Hang, nob_Latn, zho_Hans, zho_Hant"
    )


@pytest.mark.parametrize("says_tokens", [False, True])
def test_m2m_100(says_tokens: bool, tmp_path: Path, settings: ModelSettings) -> None:
    """Its files may or may not say its language tokens once more."""
    folder = make_writer(tmp_path, "m2m_100")
    if says_tokens:
        path = folder / "special_tokens_map.json"
        path.write_text('{"additional_special_tokens": ["__af__", "__de__", "__en__", "__fr__"]}')
    model = translator(folder, settings, languages=["fr", "en"])
    tokenizer: Any = model._intake._tokenizer
    assert tokenizer.src_lang == "fr"
    assert model.framing.find("").first_id == tokenizer.get_lang_id("en")
    assert model.framing.find("deu_Latn").first_id == tokenizer.get_lang_id("de")
    assert "af, am, ar" in refused(model, "tlh")
    assert "(100 in all)" in refused(model, "tlh")


def test_mbart(tmp_path: Path, settings: ModelSettings) -> None:
    model = translator(make_writer(tmp_path, "mbart"), settings)
    tokenizer: Any = model._intake._tokenizer
    assert tokenizer.src_lang == "en_XX"
    assert model.framing.find("").first_id == tokenizer.convert_tokens_to_ids("de_DE")
    assert model.framing.find("zh").first_id == tokenizer.convert_tokens_to_ids("zh_CN")


def test_a_folder_may_have_a_sentencepiece_file_alone(tmp_path: Path, settings: ModelSettings) -> None:
    """As older ones do; transformers then needs protobuf."""
    folder = make_writer(tmp_path, "t5", vocab_size=120)
    (folder / "tokenizer.json").unlink()
    (folder / "spiece.model").write_bytes(sentencepiece_model())
    model = translator(folder, settings)
    assert model.measure("The river told the stone a story.") > 5


def test_t5(tmp_path: Path, settings: ModelSettings) -> None:
    model = translator(make_writer(tmp_path, "t5"), settings)
    assert model.framing.find("").before == "translate English to German: "
    assert model.framing.find("fr-CA").before == "translate English to French: "
    assert refused(model, "it").endswith("is not what the model writes: de, fr")


def test_t5_with_a_prompt_of_the_settings(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "t5")
    languages = ["de", "en", "it"]
    model = translator(folder, settings, prompt="translate {source} to {target}: ", languages=languages)
    assert model.framing.find("").before == "translate German to English: "
    assert model.framing.find("it").before == "translate German to Italian: "
    assert refused(model, "fr").endswith("is not what the model writes: en, it")


def test_marian_has_one_pair(tmp_path: Path, settings: ModelSettings) -> None:
    model = translator(make_writer(tmp_path, "marian"), settings)
    assert model.framing.find("") == model.framing.find("de")
    assert model.framing.find("de").before == ""
    assert refused(model, "fr").endswith("is not what the model writes: de")


def test_marian_with_several_languages(tmp_path: Path, settings: ModelSettings) -> None:
    model = translator(make_writer(tmp_path, "marian_to_many"), settings)
    assert model.framing.find("fr").before == ">>fra<< "
    assert model.framing.find("").before == ">>deu<< "
    tokenizer: Any = model._intake._tokenizer
    mark = tokenizer.convert_tokens_to_ids(">>fra<<")
    assert model._intake._encode(model.framing.find("fr"), "Good.")[0] == mark
    assert refused(model, "it").endswith("is not what the model writes: deu, fra")


def test_a_causal_model_is_asked(tmp_path: Path, settings: ModelSettings) -> None:
    model = translator(make_model(tmp_path, "llama"), settings, languages=["en", "de", "it"])
    assert "Translate the following text from English to German." in model.framing.find("").before
    assert "from English to Italian" in model.framing.find("it").before
    assert refused(model, "fr").endswith("is not what the model writes: de, it")


@pytest.mark.parametrize(
    ("family", "languages", "message"),
    [
        ("nllb", ["it", "de"], r"does not read 'it' \(languages\); it reads: arb_Arab, deu_Latn"),
        ("nllb", ["en", "it"], r"does not write 'it' \(languages\); it writes: arb_Arab, deu_Latn"),
        ("t5", ["de", "en"], r"does not read 'de' \(languages\); it reads: en"),
        ("t5", ["en", "it"], r"does not write 'it' \(languages\); it writes: de, fr"),
        ("marian_to_many", ["en", "it"], r"does not write 'it' \(languages\); it writes: deu, fra"),
        ("marian", ["en"], r"\['en'\] is too short; expected from and to"),
    ],
)
def test_languages_that_the_model_does_not_have_are_refused_at_load(
    family: str, languages: list[str], message: str, tmp_path: Path, settings: ModelSettings
) -> None:
    with pytest.raises(LoadError, match=message):
        translator(make_writer(tmp_path, family), settings, languages=languages)


def test_sentences_are_translated_one_by_one(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "nllb", {"no_repeat_ngram_size": 2})
    engine = make_engine(settings, translation=stage_settings("translation", folder))
    parts = engine._stages["translation"].model.parts(TEXT)
    assert parts == ["The river told the stone a story.", "A fox carried a lantern!", "Good."]

    def translate(text: str, language: str) -> str:
        engine.add(1, work("translation", text=text, target_language=language))
        (result,) = (event for event in run_all(engine) if isinstance(event, StageResult))
        made: str = values(result.outputs)["made"]
        return made

    for language in ("de", "fra_Latn"):
        alone = [translate(part, language) for part in parts]
        assert translate(TEXT, language) == " ".join(filter(None, alone)) != ""
    assert translate(TEXT, "fr") == translate(TEXT, "fra_Latn") != translate(TEXT, "de")


def test_jobs_into_several_languages_go_together(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "nllb", {"no_repeat_ngram_size": 2})
    engine = make_engine(settings, translation=stage_settings("translation", folder))

    def add(job_id: int, language: str) -> None:
        engine.add(job_id, work("translation", text="The river told", target_language=language))

    def made() -> dict[int, Any]:
        done = [event for event in run_all(engine) if isinstance(event, StageResult)]
        return {event.job_id: values(event.outputs)["made"] for event in done}

    alone: dict[int, Any] = {}
    for job_id, language in enumerate(("de", "fr", "zh")):
        add(job_id, language)
        alone |= made()
    for job_id, language in enumerate(("de", "fr", "zh")):
        add(job_id, language)
    assert made() == alone
    assert len(set(alone.values())) > 1


def test_a_language_that_is_not_there_is_the_requests_fault(tmp_path: Path, settings: ModelSettings) -> None:
    folder = make_writer(tmp_path, "marian")
    engine = make_engine(settings, translation=stage_settings("translation", folder))
    with pytest.raises(JobError) as caught:
        engine.add(1, work("translation", text="Good.", target_language="fr"))
    assert (caught.value.code, caught.value.param) == ("bad_params", "target_language")
    assert not engine.job_ids()
    assert not engine.has_work()
