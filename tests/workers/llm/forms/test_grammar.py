"""Answers of a given form: whatever is drawn, what comes fits."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from workers.embedded import LANGUAGE
from workers.errors import JobError
from workers.llm.forms.grammar import Form, FormRow, Grammar, Grammars, allow

# More than the tokenizer has: a model's last rows may be padding.
VOCAB_SIZE = 2_080
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(str(LANGUAGE))


@pytest.fixture(scope="module")
def grammars(tokenizer: Any) -> Grammars:
    return Grammars("tiny", tokenizer, VOCAB_SIZE, frozenset((tokenizer.eos_token_id,)))


def form_of(grammars: Grammars, schema: Any) -> Form:
    return grammars.compile(Grammar.of_schema(json.dumps(schema).encode()))


def allowed(form: Form) -> Tensor:
    logits = torch.zeros(3, VOCAB_SIZE)
    allow(logits, [FormRow(1, form)])
    assert logits[0].isfinite().all()
    assert logits[2].isfinite().all()
    return logits[1].isfinite()


def walk(form: Form, eos_id: int, seed: int) -> Iterator[int]:
    """Random tokens, as long as the form is not complete."""
    chooser = random.Random(seed)
    for _ in range(400):
        token_id = chooser.choice(allowed(form).nonzero().flatten().tolist())
        if token_id == eos_id:
            return
        yield token_id
        form.advance(token_id)
        if form.is_complete:
            return
    raise AssertionError("never complete")


@pytest.mark.parametrize("seed", range(20))
def test_random_answers_fit_the_schema(grammars: Grammars, tokenizer: Any, seed: int) -> None:
    form = form_of(grammars, SCHEMA)
    found = json.loads(tokenizer.decode([*walk(form, tokenizer.eos_token_id, seed)]))
    assert set(found) == {"name", "age", "tags"}
    assert isinstance(found["name"], str)
    assert len(found["name"]) <= 12
    assert 0 <= found["age"] <= 150
    assert set(found["tags"]) <= {"red", "blue"}


@pytest.mark.parametrize("seed", range(5))
def test_a_call_of_one_of_the_tools(grammars: Grammars, tokenizer: Any, seed: int) -> None:
    functions = [{"name": name, "parameters": SCHEMA} for name in ("first", "second")]
    form = grammars.compile(Grammar.of_calls(functions, "<tool_call>", "</tool_call>"))
    text = tokenizer.decode([*walk(form, tokenizer.eos_token_id, seed)])
    assert text.startswith("<tool_call>\n")
    assert text.endswith("\n</tool_call>")
    call = json.loads(text.removeprefix("<tool_call>").removesuffix("</tool_call>"))
    assert call["name"] in ("first", "second")
    assert set(call["arguments"]) == {"name", "age", "tags"}


def test_padding_is_never_allowed(grammars: Grammars, tokenizer: Any) -> None:
    form = form_of(grammars, {"type": "string"})
    assert not allowed(form)[len(tokenizer) :].any()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"type": "object", "properties": 5}, "properties"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"type": "string", "pattern": "("}, "regex"),
    ],
)
def test_a_schema_that_is_none_is_refused(grammars: Grammars, schema: Any, words: str) -> None:
    with pytest.raises(JobError, match=words) as caught:
        form_of(grammars, schema)
    assert (caught.value.code, caught.value.param) == ("bad_params", "response_format")


def test_nested_too_deeply(grammars: Grammars) -> None:
    schema = b'{"properties":{"a":' * 3_000 + b"{}" + b"}}" * 3_000
    with pytest.raises(JobError, match="recursion limit") as caught:
        Grammar.of_schema(schema)
    assert caught.value.param == "response_format"
    parameters: dict[str, Any] = {}
    for _ in range(3_000):
        parameters = {"properties": {"a": parameters}}
    with pytest.raises(JobError, match="too deeply") as caught:
        Grammar.of_calls([{"name": "f", "parameters": parameters}], "<", ">")
    assert caught.value.param == "tools"


def test_what_never_ends_is_too_dear(grammars: Grammars) -> None:
    """These 500 bytes took minutes and gigabytes."""
    patterns = [{"pattern": f"(a|b)*a(a|b){{{i}}}"} for i in range(1, 20)]
    with pytest.raises(JobError, match=r"more than 2 s or 512 MiB") as caught:
        form_of(grammars, {"type": "string", "allOf": patterns})
    assert (caught.value.code, caught.value.param) == ("bad_params", "response_format")
    assert form_of(grammars, SCHEMA).error is None


def test_a_form_that_turns_out_too_complex_allows_nothing(grammars: Grammars, tokenizer: Any) -> None:
    form = form_of(grammars, {"type": "string", "pattern": "^(a|b|c|[d-z]{1,9}){1000}$"})
    chooser = random.Random(1)
    for _ in range(2_000):
        token_ids = allowed(form).nonzero().flatten().tolist()
        if not token_ids:
            break
        form.advance(chooser.choice(token_ids))
    assert form.error is not None
    assert not form.is_complete
    assert (form.error.code, form.error.param) == ("bad_params", "response_format")
    assert "too complex" in form.error.message


def test_a_tokenizer_that_has_no_table_says_so() -> None:
    grammars = Grammars("odd", object(), 10, frozenset())  # type: ignore[arg-type]
    with pytest.raises(JobError, match='"odd" cannot be constrained: it has no fast tokenizer'):
        form_of(grammars, SCHEMA)
