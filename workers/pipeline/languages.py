"""Which languages a model translates into, and how each kind of model is told."""

import re
from typing import Any

import langcodes
from langcodes.tag_parser import LanguageTagError
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from config.settings import StageSettings
from workers.errors import JobError, LoadError
from workers.pipeline.wording import (
    TRANSLATE,
    TRANSLATE_PLAIN,
    Frame,
    Framing,
    chat_frame,
    frame_of,
)

# Tokens that name a language: M2M100's `__de__`; NLLB's `deu_Latn` and mBART's `de_DE`.
TOKEN = re.compile(r"__([a-z]{2,3})__|([a-z]{2,3}_(?:[A-Z][a-z]{3}|[A-Z]{2}))")
# What begins with two or three letters is a tag; else a language's name.
TAG = re.compile(r"[A-Za-z]{2,3}(?![A-Za-z])")
# T5's name for the task of a pair.
TASK = re.compile(r"translation_([a-z-]+)_to_([a-z-]+)")
# In langcodes' measure: 5 lies between the Portuguese of Brazil and of Portugal.
MAX_DISTANCE = 5
# As many names as an error lists.
MAX_LISTED = 12


class LanguageFraming(Framing):
    """A frame for each language that the model writes; `default` is whose, when a request names none."""

    def __init__(self, frames: dict[str, Frame], default: str) -> None:
        self._frames = frames
        self.frames = list(frames.values())
        code = match(default, frames)
        if not code:
            raise LoadError(f"it does not write {default!r} (languages); it writes: {_listed(frames)}")
        self._default = frames[code]

    def find(self, target_language: str) -> Frame:
        if not target_language:
            return self._default
        if code := match(target_language, self._frames):
            return self._frames[code]
        message = (
            f"$.target_language: {target_language!r} is not what the model writes: {_listed(self._frames)}"
        )
        raise JobError("bad_params", message, "target_language")


def match(language: str, codes: Any) -> str:
    """Which of a model's codes stands for a language; "" for none.

    A language is a tag such as `de`, `pt-BR` or `deu_Latn`, or a name such as `German`.
    """
    if language in codes:
        return language
    try:
        language = language if TAG.match(language) else langcodes.find(language).to_tag()
        found, distance = langcodes.closest_match(language, codes, max_distance=MAX_DISTANCE)
        if distance <= MAX_DISTANCE:
            return found
        # A script that nobody expects, such as `kor_Hang`, is farther away than another language.
        wanted = langcodes.get(language)
        if wanted.script:
            return ""
        return next((code for code in codes if _alpha3(code) == wanted.to_alpha3()), "")
    except (LanguageTagError, LookupError):
        return ""


def translation_framing(
    tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, settings: StageSettings
) -> Framing:
    """How a model is told to translate. Raises LoadError."""
    if len(settings.languages) < 2:
        raise LoadError(f"languages: {settings.languages} is too short; expected from and to")
    source, target, *_ = settings.languages
    frames = (
        _by_token(tokenizer, source)
        or _by_mark(tokenizer)
        or _by_task(config, source, settings.prompt)
        or _by_prompt(tokenizer, config, settings)
    )
    return LanguageFraming(frames, target)


def _by_token(tokenizer: Any, source: str) -> dict[str, Frame]:
    """M2M100, NLLB, mBART: the answer begins with its language's token, the text with its own."""
    # Some tokenizers say their codes; of others all special tokens that look like one are.
    codes: dict[str, int] = dict(getattr(tokenizer, "lang_code_to_id", None) or {})
    for token in tokenizer.all_special_tokens:
        if found := TOKEN.fullmatch(token):
            codes[found[1] or found[2]] = tokenizer.convert_tokens_to_ids(token)
    if not codes:
        return {}
    code = match(source, codes)
    if not code:
        raise LoadError(f"it does not read {source!r} (languages); it reads: {_listed(codes)}")
    tokenizer.src_lang = code
    return {code: Frame(first_id=first_id) for code, first_id in codes.items()}


def _by_mark(tokenizer: Any) -> dict[str, Frame]:
    """Marian with several target languages: `>>deu<<` stands before the text."""
    marks = getattr(tokenizer, "supported_language_codes", None) or []
    return {mark.strip("><"): Frame(before=f"{mark} ") for mark in marks}


def _by_task(config: PreTrainedConfig, source: str, prompt: str) -> dict[str, Frame]:
    """T5: an instruction for each pair that its authors trained."""
    tasks: dict[str, Any] = getattr(config, "task_specific_params", None) or {}
    pairs = [] if prompt else [pair for task in tasks if (pair := TASK.fullmatch(task))]
    read = {pair[1] for pair in pairs}
    if read and not match(source, read):
        raise LoadError(f"it does not read {source!r} (languages); it reads: {_listed(read)}")
    return {
        pair[2]: frame_of(str(tasks[pair[0]].get("prefix") or ""))
        for pair in pairs
        if match(source, [pair[1]])
    }


def _by_prompt(
    tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, settings: StageSettings
) -> dict[str, Frame]:
    """The settings' instruction, or the usual one; without any the model knows one pair of languages."""
    source, *targets = settings.languages
    prompt, is_chat = settings.prompt, False
    if not config.is_encoder_decoder:
        is_chat = bool(tokenizer.chat_template)
        prompt = prompt or (TRANSLATE if is_chat else TRANSLATE_PLAIN)
    frames = {}
    for target in targets if "{target}" in prompt else targets[:1]:
        said = prompt.replace("{source}", _name(source)).replace("{target}", _name(target))
        frames[target] = chat_frame(tokenizer, said) if is_chat else frame_of(said)
    return frames


def _alpha3(code: str) -> str:
    try:
        return langcodes.get(code).to_alpha3()
    except (LanguageTagError, LookupError):
        return ""


def _name(code: str) -> str:
    """A language's name in English; its code where it has none."""
    try:
        return langcodes.get(code).language_name()
    except LanguageTagError:
        return code


def _listed(codes: Any) -> str:
    names = sorted(codes)
    more = f", … ({len(names)} in all)" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
