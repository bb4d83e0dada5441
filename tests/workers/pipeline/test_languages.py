"""Which of a model's languages a request means."""

import pytest

from tests.workers.pipeline.writing_tokenizers import NLLB_CODES
from workers.pipeline.languages import match

M2M = ["de", "en", "fr", "no", "zh", "pt", "he", "tl"]


@pytest.mark.parametrize(
    ("asked", "nllb", "m2m"),
    [
        ("de", "deu_Latn", "de"),
        ("deu", "deu_Latn", "de"),
        ("deu_Latn", "deu_Latn", "de"),
        ("de-AT", "deu_Latn", "de"),
        ("DE", "deu_Latn", "de"),
        ("German", "deu_Latn", "de"),
        ("zh", "zho_Hans", "zh"),
        ("zh-TW", "zho_Hant", "zh"),
        ("nb", "nob_Latn", "no"),
        ("no", "nob_Latn", "no"),
        ("ar", "arb_Arab", ""),
        ("ko", "kor_Hang", ""),
        ("iw", "", "he"),
        ("pt-BR", "", "pt"),
        ("de_Cyrl", "", ""),
        ("tlh", "", ""),
        ("x", "", ""),
        ("../..", "", ""),
        ("a" * 300, "", ""),
    ],
)
def test_tags_are_matched_to_a_models_codes(asked: str, nllb: str, m2m: str) -> None:
    assert match(asked, NLLB_CODES) == nllb
    assert match(asked, M2M) == m2m
