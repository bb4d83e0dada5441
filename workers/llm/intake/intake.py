"""A job's work → its sequences, checked against what the model can take."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from workers.detokenizer import Decode, Detokenizer
from workers.errors import JobError
from workers.llm.answers.logprobs import Trail
from workers.llm.answers.reading import Reading
from workers.llm.answers.sequence import Answer, Job, Sequence
from workers.llm.forms.grammar import Grammar, Grammars
from workers.llm.intake.prompts import PromptEncoder
from workers.llm.intake.vocabulary import Vocabulary
from workers.llm.loading.load import LoadedModel
from workers.messages import (
    CallForm,
    ChatPrompt,
    JobId,
    JsonForm,
    Prompt,
    Sampling,
    TextPrompt,
    TextWork,
    TokenPrompt,
)
from workers.tool_calls import BEGIN, END, ToolCallParser
from workers.trimming import num_answer_tokens

# Enough of the prompt's end to know whether a space comes before the answer's first token.
NUM_CONTEXT_TOKENS = 6


class EncodedPrompt(NamedTuple):
    token_ids: list[int]
    context: list[int]  # the tokens whose text the answer goes on with
    text: str = ""  # where it is to be echoed


class Intake:
    """Raises JobError for what the model cannot take, before anything of the job is kept."""

    def __init__(self, model_name: str, loaded: LoadedModel, max_model_len: int) -> None:
        tokenizer = loaded.tokenizer
        self._model_name = model_name
        self._adapters = {adapter.name: number for number, adapter in enumerate(loaded.adapters, 1)}
        self._eos_ids = loaded.eos_ids
        self._encoder = PromptEncoder(model_name, tokenizer, loaded.vocab_size)
        self._max_model_len = max_model_len
        self._decode = _decoder(tokenizer)
        special = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._special_ids = frozenset(special.union(tokenizer.all_special_ids))
        self._vocabulary = Vocabulary(tokenizer, self._special_ids)
        self.grammars = Grammars(model_name, tokenizer, loaded.vocab_size, self._eos_ids)

    @property
    def has_chat_template(self) -> bool:
        return self._encoder.has_chat_template

    def make(self, job_id: JobId, work: TextWork) -> Job:
        """Choice i of a prompt draws with seed + i. An answer ends with the model's context at the latest.

        Where the answers have to have a form the job has its grammar; the form itself is still to be made.
        """
        self._encoder.check([token.token_id for token in work.sampling.logit_bias], "logit_bias")
        self._encoder.check(work.sampling.stop_token_ids, "stop_token_ids")
        prompts = [self._encode(prompt, work.sampling) for prompt in work.prompts]
        generated = work.generated or [[]] * work.num_choices
        job = Job(job_id, work.sampling, self._eos_ids)
        job.owner, job.priority = work.owner, work.priority
        job.grammar = _grammar(work)
        job.adapter = self._adapter(work.adapter)
        job.prompt_tokens = sum(len(prompt.token_ids) for prompt in prompts)
        job.completion_tokens = sum(map(len, generated))
        for index in self._open_choices(work):
            self._encoder.check(generated[index])
            place = index // work.n
            sequence = self._sequence(job, index, prompts[place])
            sequence.calls = ToolCallParser() if _tools(work.prompts[place]) else None
            sequence.seed = work.sampling.seed + index % work.n
            if sequence.trail and work.sampling.echo and not generated[index]:
                detokenizer = Detokenizer(self._decode, self._special_ids, [])
                token_ids, _, text = prompts[place]
                sequence.reading = Reading(token_ids, detokenizer, sequence.trail, len(text))
            sequence.restore(generated[index])
            job.sequences[index] = sequence
        return job

    def _adapter(self, name: str) -> int:
        """The number of that name; 0 for the model itself."""
        if name and name not in self._adapters:
            known = ", ".join(self._adapters) or "none"
            raise JobError("bad_params", f"adapter {name!r} is unknown; there is: {known}", "model")
        return self._adapters.get(name, 0)

    def _open_choices(self, work: TextWork) -> Iterator[int]:
        return (index for index in range(work.num_choices) if index not in work.done)

    def _encode(self, prompt: Prompt, sampling: Sampling) -> EncodedPrompt:
        token_ids = self._token_ids(prompt, sampling.max_tokens)
        num_more = min(1, sampling.max_tokens)
        if len(token_ids) + num_more > self._max_model_len:
            what = f"prompt has {len(token_ids)} tokens"
            if num_more:
                what += f"; with one for the answer that is {len(token_ids) + 1}"
            limit = f'{self._max_model_len} (limit of model "{self._model_name}")'
            param = "messages" if isinstance(prompt, ChatPrompt) else "prompt"
            raise JobError("context_length_exceeded", f"{what} > {limit}", param)
        context = [] if isinstance(prompt, ChatPrompt) else token_ids[-NUM_CONTEXT_TOKENS:]
        return EncodedPrompt(token_ids, context, self._echo(prompt) if sampling.echo else "")

    def _echo(self, prompt: Prompt) -> str:
        match prompt:
            case TextPrompt(text):
                return text
            case TokenPrompt(token_ids):
                return self._decode(token_ids)
            case ChatPrompt():
                return ""

    def _token_ids(self, prompt: Prompt, max_tokens: int) -> list[int]:
        if isinstance(prompt, ChatPrompt) and prompt.trims:
            num_left = self._max_model_len - num_answer_tokens(max_tokens, self._max_model_len)
            return self._encoder.encode_newest(prompt, num_left)
        return self._encoder.encode(prompt)

    def _sequence(self, job: Job, index: int, prompt: EncodedPrompt) -> Sequence:
        detokenizer = Detokenizer(self._decode, self._special_ids, prompt.context)
        answer = Answer(detokenizer, job.sampling.stop, prompt.text)
        sequence = Sequence(job, index, prompt.token_ids, answer)
        if job.sampling.top_logprobs is not None:
            sequence.trail = Trail(self._vocabulary)
        sequence.max_tokens = min(job.sampling.max_tokens, self._max_model_len - len(prompt.token_ids))
        return sequence


def _grammar(work: TextWork) -> Grammar | None:
    """Of what each answer has to be."""
    match work.form:
        case JsonForm(schema):
            return Grammar.of_schema(schema)
        case CallForm(names):
            tools = [tool for prompt in work.prompts for tool in _tools(prompt)]
            functions = [json.loads(tool)["function"] for tool in tools]
            allowed = [function for function in functions if not names or function["name"] in names]
            return Grammar.of_calls(allowed, BEGIN, END)
        case None:
            return None


def _tools(prompt: Prompt) -> list[bytes]:
    return prompt.tools if isinstance(prompt, ChatPrompt) else []


def _decoder(tokenizer: PreTrainedTokenizerBase) -> Decode:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        # Past the wrapper, whose checks cost several times the decoding.
        return lambda token_ids: str(backend.decode(token_ids, skip_special_tokens=True))
    return lambda token_ids: str(
        tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )
