"""What stands around a text when it is given to a model: instructions, language codes, chat templates."""

from typing import Any, NamedTuple

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from config.settings import StageSettings
from workers.errors import LoadError
from workers.hub import one_line

# Where the text stands in a prompt or template; no text of a user's is ever searched for it.
TEXT = "{text}"
MARK = "\ufdd0text\ufdd0"

SUMMARISE = "Summarize the following text in a few sentences. Answer with the summary only."
SUMMARISE_PLAIN = "{text}\n\nTL;DR:"
TRANSLATE = "Translate the following text from {source} to {target}. Answer with the translation only."
TRANSLATE_PLAIN = "{source}: {text}\n{target}:"


class Frame(NamedTuple):
    """`before` and `after` a text; `first_id`, when given, is what the answer must begin with.

    A frame that `is_whole` has the model's special tokens; else the tokenizer adds them.
    """

    before: str = ""
    after: str = ""
    first_id: int | None = None
    is_whole: bool = False


class Framing:
    """The frames of one model, by target language; here there is one, whatever the language."""

    def __init__(self, frame: Frame) -> None:
        self.frames = [frame]

    def find(self, target_language: str) -> Frame:  # noqa: ARG002
        """Raises JobError for a language that the model does not write."""
        return self.frames[0]


def frame_of(prompt: str, first_id: int | None = None) -> Frame:
    """The prompt stands before the text, or around it where it says `{text}`."""
    before, _, after = prompt.partition(TEXT)
    return Frame(before, after, first_id)


def chat_frame(tokenizer: PreTrainedTokenizerBase, instruction: str) -> Frame:
    """One turn of a chat, as the tokenizer's template lays it out. Raises LoadError."""
    content = instruction if TEXT in instruction else f"{instruction}\n\n{TEXT}"
    messages = [{"role": "user", "content": content.replace(TEXT, MARK)}]
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    try:
        text = str(tokenizer.apply_chat_template(messages, **options))
    except Exception as error:
        raise LoadError(f"its chat template fails: {one_line(error)}") from error
    before, mark, after = text.partition(MARK)
    if not mark:
        raise LoadError("its chat template leaves the text out")
    return Frame(before, after, is_whole=True)


def summary_framing(
    tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, settings: StageSettings
) -> Framing:
    """How a model is told to summarise. Raises LoadError."""
    prompt = settings.prompt
    if config.is_encoder_decoder:
        return Framing(frame_of(prompt or task_prefix(config, "summarization")))
    if tokenizer.chat_template:
        return Framing(chat_frame(tokenizer, prompt or SUMMARISE))
    return Framing(frame_of(prompt or SUMMARISE_PLAIN))


def task_prefix(config: PreTrainedConfig, task: str) -> str:
    """What the model's authors put before a text, as those of T5 do; "" where they say nothing."""
    tasks = getattr(config, "task_specific_params", None) or {}
    return str((tasks.get(task) or {}).get("prefix") or "")
