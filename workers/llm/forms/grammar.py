"""Answers of a given form: which tokens a grammar lets come next (llguidance, a lexer and Earley parser)."""

import json
from typing import Any, NamedTuple

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from workers.errors import JobError
from workers.hub import one_line
from workers.llm.forms.inspection import MAX_BYTES, MAX_CPU_S, MAX_WALL_S, Inspector, TooDear
from workers.llm.steps.upload import upload

# Any number of blanks would let an answer be nothing else; so many hold a deep indentation.
WHITESPACE: Any = {"whitespace_pattern": r"[ \n]{0,20}"}
BITS_PER_WORD = 32
# What a token may cost, for everybody waits for it: by its makers' figures 4 ms in the lexer and 1 ms in the
# parser, a quarter of their own limits. The states that an answer's lexer keeps take 2 kB each.
LIMITS = LLParserLimits(
    step_lexer_fuel=50_000, step_max_items=20_000, max_lexer_states=20_000, verbose_errors=False
)


class Grammar(NamedTuple):
    """What forms are made from, as llguidance reads it. What is wrong with it is told as of field `param`."""

    text: str
    param: str

    @classmethod
    def of_schema(cls, schema: bytes) -> "Grammar":
        """Of any JSON that fits the JSON schema. Raises JobError for what is nested too deeply."""
        try:
            text = LLMatcher.grammar_from_json_schema(schema.decode(), overrides=WHITESPACE)
        except ValueError as error:
            raise JobError("bad_params", f"$.response_format: {error}", "response_format") from None
        return cls(text, "response_format")

    @classmethod
    def of_calls(cls, functions: list[dict[str, Any]], begin: str, end: str) -> "Grammar":
        """Of a call of one of `functions` (name, parameters), between `begin` and `end`. Raises JobError."""
        bodies = [_call_schema(function) for function in functions]
        schema: dict[str, Any] = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
        schema |= {"x-guidance": WHITESPACE}
        begin, end = json.dumps(f"{begin}\n"), json.dumps(f"\n{end}")
        try:
            call = f"{begin} %json {json.dumps(schema)} {end}"
        except RecursionError:
            raise JobError("bad_params", "$.tools: nested too deeply", "tools") from None
        # In llguidance's variant of Lark.
        return cls(f"%llguidance {{}}\nstart: call\ncall: {call}\n", "tools")


def _call_schema(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function.get("parameters") or {"type": "object"}
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


class Form:
    """How far one answer is in its grammar."""

    def __init__(self, matcher: LLMatcher, param: str) -> None:
        self._matcher = matcher
        self._param = param

    @property
    def is_complete(self) -> bool:
        """Whether nothing can come any more, but the token that ends the answer."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def error(self) -> JobError | None:
        """Why the answer cannot go on: which tokens may come next is too dear to find out."""
        if not self._matcher.is_error():
            return None
        return _refusal(self._param, f"too complex for an answer: {self._matcher.get_error()}")

    def copy(self) -> "Form":
        """The same place in the same grammar, for another answer: compiling it again may take a second."""
        return Form(self._matcher.deep_copy(), self._param)

    def advance(self, token_id: int) -> None:
        """Take the answer's next token, which `allow` let pass."""
        self._matcher.consume_token(token_id)

    def write_mask(self, row: np.ndarray) -> None:
        """Set the bit of every token that may come next in `row [V / 32] int32`: of none after an `error`."""
        self._matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        if self._matcher.is_error():
            row[:] = 0


class FormRow(NamedTuple):
    """A row of a step's logits whose token must fit."""

    row: int
    form: Form


class Grammars:
    """Compiles grammars for one model's tokenizer.

    The table of its tokens is made at once, for nobody else can run meanwhile: 12 ms for 2,000 tokens, 2 s
    for 128,000.
    """

    def __init__(
        self, model_name: str, tokenizer: PreTrainedTokenizerBase, vocab_size: int, eos_ids: frozenset[int]
    ) -> None:
        self._model_name = model_name
        self._inspector = Inspector()
        self._table: LLTokenizer | None = None
        self._reason = "it has no fast tokenizer"
        if isinstance(tokenizer, PreTrainedTokenizerFast):
            try:
                self._table = from_tokenizer(tokenizer, vocab_size, sorted(eos_ids) or None)
            except Exception as error:
                # Not a reason to refuse a model: few ask for forms.
                self._reason = one_line(error)

    def compile(self, grammar: Grammar) -> Form:
        """The beginning of an answer. Raises JobError for what is wrong, not supported, or too dear.

        May take seconds, in which other threads run.
        """
        if self._table is None:
            message = f'answers of model "{self._model_name}" cannot be constrained: {self._reason}'
            raise JobError("bad_params", message, grammar.param)
        try:
            complaint = self._inspector.inspect(grammar.text)
        except TooDear:
            limits = f"{MAX_CPU_S} s or {MAX_BYTES >> 20} MiB"
            message = f"takes more than {limits} to compile; use fewer or simpler patterns and bounds"
            raise _refusal(grammar.param, message) from None
        except TimeoutError:
            message = f"the machine is too busy to compile a grammar within {MAX_WALL_S:.0f} s"
            raise JobError("engine_overloaded", message, grammar.param) from None
        if complaint:
            raise _refusal(grammar.param, complaint)
        matcher = LLMatcher(self._table, grammar.text, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise _refusal(grammar.param, matcher.get_error())
        return Form(matcher, grammar.param)

    def close(self) -> None:
        """End what is being compiled as soon as that is possible; nothing can be compiled any more."""
        self._inspector.close()


def _refusal(param: str, reason: str) -> JobError:
    return JobError("bad_params", f"$.{param}: {' '.join(reason.split())[:300]}", param)


def allow(logits: Tensor, rows: list[FormRow]) -> None:
    """Set to -inf, in place, what may not come next in these rows of `logits [S, V]`."""
    if not rows:
        return
    vocab_size = logits.shape[1]
    words = np.zeros((len(rows), -(-vocab_size // BITS_PER_WORD)), np.int32)
    for place, (_, form) in enumerate(rows):
        form.write_mask(words[place])
    bits = np.unpackbits(words.view(np.uint8), axis=1, count=vocab_size, bitorder="little")
    is_forbidden, index = upload([bits == 0, np.array([row for row, _ in rows])], logits.device)
    logits[index] = logits[index].masked_fill(is_forbidden, float("-inf"))
