"""Answers of a given form: which tokens a grammar lets come next (llguidance, a lexer and Earley parser)."""

import json
from typing import Any, NamedTuple

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from workers.errors import JobError

# Any number of blanks would let an answer be nothing else; so many hold a deep indentation.
WHITESPACE: Any = {"whitespace_pattern": r"[ \n]{0,20}"}
BITS_PER_WORD = 32


class Form:
    """How far one answer is in its grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def is_complete(self) -> bool:
        """Whether nothing can come any more, but the token that ends the answer."""
        return self._matcher.is_stopped()

    def copy(self) -> "Form":
        """The same place in the same grammar, for another answer: compiling it again may take a second."""
        return Form(self._matcher.deep_copy())

    def advance(self, token_id: int) -> None:
        """Take the answer's next token, which `allow` let pass."""
        self._matcher.consume_token(token_id)

    def write_mask(self, row: np.ndarray) -> None:
        """Set the bit of every token that may come next in `row [V / 32] int32`."""
        self._matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)


class FormRow(NamedTuple):
    """A row of a step's logits whose token must fit."""

    row: int
    form: Form


class Grammars:
    """Makes forms for one model's tokenizer. What the tokenizer needs is made once, at the first.

    That took 12 ms for 2,000 tokens; its makers say a second for the largest vocabularies.
    """

    def __init__(
        self, model_name: str, tokenizer: PreTrainedTokenizerBase, vocab_size: int, eos_ids: frozenset[int]
    ) -> None:
        self._model_name = model_name
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._eos_ids = sorted(eos_ids)
        self._made: LLTokenizer | None = None

    def of_schema(self, schema: bytes) -> Form:
        """Any JSON that fits the JSON schema. Raises JobError for one that is none, or not supported."""
        grammar = LLMatcher.grammar_from_json_schema(schema.decode(), overrides=WHITESPACE)
        return self._start(grammar, "response_format")

    def of_lark(self, grammar: str, param: str) -> Form:
        """Any text of the grammar, in llguidance's variant of Lark. Raises JobError."""
        return self._start(grammar, param)

    def _start(self, grammar: str, param: str) -> Form:
        matcher = LLMatcher(self._of_tokenizer(), grammar, log_level=0)
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split())[:300]
            raise JobError("bad_params", f"$.{param}: {reason}", param)
        return Form(matcher)

    def _of_tokenizer(self) -> LLTokenizer:
        if self._made is None:
            if not isinstance(self._tokenizer, PreTrainedTokenizerFast):
                message = (
                    f'model "{self._model_name}" has no fast tokenizer: its answers cannot be constrained'
                )
                raise JobError("bad_params", message, "response_format")
            self._made = from_tokenizer(self._tokenizer, self._vocab_size, self._eos_ids or None)
        return self._made


def allow(logits: Tensor, rows: list[FormRow]) -> None:
    """Set to -inf, in place, what may not come next in these rows of `logits [S, V]`."""
    if not rows:
        return
    vocab_size = logits.shape[1]
    words = np.zeros((len(rows), -(-vocab_size // BITS_PER_WORD)), np.int32)
    for place, (_, form) in enumerate(rows):
        form.write_mask(words[place])
    bits = np.unpackbits(words.view(np.uint8), axis=1, count=vocab_size, bitorder="little")
    is_forbidden = torch.from_numpy(bits == 0).to(logits.device)
    index = torch.tensor([row for row, _ in rows], device=logits.device)
    logits[index] = logits[index].masked_fill(is_forbidden, float("-inf"))


def call_grammar(functions: list[dict[str, Any]], begin: str, end: str) -> str:
    """A call of one of `functions` (name, parameters), between `begin` and `end`."""
    bodies = [_call_schema(function) for function in functions]
    schema: dict[str, Any] = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
    schema |= {"x-guidance": WHITESPACE}
    begin, end = json.dumps(f"{begin}\n"), json.dumps(f"\n{end}")
    call = f"{begin} %json {json.dumps(schema)} {end}"
    return f"%llguidance {{}}\nstart: call\ncall: {call}\n"


def _call_schema(function: dict[str, Any]) -> dict[str, Any]:
    parameters = function.get("parameters") or {"type": "object"}
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
