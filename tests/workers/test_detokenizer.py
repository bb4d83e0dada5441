"""Streamed text is the whole text, for byte-level and sentencepiece-like tokenizers."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tests.models import CORPUS, make_tokenizer
from workers.detokenizer import MAX_PENDING, MAX_SETTLED, REPLACEMENT, Detokenizer
from workers.llm.answers.sequence import Answer
from workers.llm.answers.stops import StopFinder

TEXTS = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("aeé 好🦊👩‍👧\u0301\n ")), max_size=40
)


@cache
def byte_level() -> Tokenizer:
    return make_tokenizer().backend_tokenizer


@cache
def metaspace() -> Tokenizer:
    """As of Llama 2 and Gemma: a space is part of the next token, unknown characters are bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([text[:60] for text in CORPUS[:3]], trainer)
    return _with_special(tokenizer, ["<unk>", "<s>", "</s>"])


def _with_special(tokenizer: Tokenizer, special: list[str]) -> Tokenizer:
    """The same with these special tokens only: the trainer makes bytes special too."""
    import json

    tree = json.loads(tokenizer.to_str())
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] in special]
    return Tokenizer.from_str(json.dumps(tree))


TOKENIZERS = pytest.mark.parametrize("make", [byte_level, metaspace], ids=["byte_level", "metaspace"])


def detokenizer(tokenizer: Tokenizer, context: list[int] | None = None) -> Detokenizer:
    special = frozenset(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)
    return Detokenizer(tokenizer.decode, special, context or [])


def stream(subject: Detokenizer | Answer, token_ids: list[int]) -> list[str]:
    return [*map(subject.push, token_ids), subject.flush()]


@TOKENIZERS
@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
@example(text="👩‍👩‍👧 你好 e\u0301 \ufffd!")
@example(text="  two  spaces ")
def test_streamed_is_whole(make: Callable[[], Tokenizer], text: str) -> None:
    token_ids = make().encode(text).ids
    parts = stream(detokenizer(make()), token_ids)
    assert "".join(parts) == make().decode(token_ids)
    if make is byte_level:
        assert "".join(parts) == text
    if REPLACEMENT not in text:
        assert all(REPLACEMENT not in part for part in parts)


@settings(max_examples=300, deadline=None)
@given(token_ids=st.lists(st.integers(0, 399), max_size=60))
def test_any_bytes(token_ids: list[int]) -> None:
    """Also what is no text at all: broken bytes, special tokens."""
    parts = stream(detokenizer(byte_level()), token_ids)
    assert "".join(parts) == byte_level().decode(token_ids)


@TOKENIZERS
@settings(max_examples=200, deadline=None)
@given(text=TEXTS, cut=st.integers(0, 40))
def test_the_answer_goes_on_with_the_prompt(make: Callable[[], Tokenizer], text: str, cut: int) -> None:
    token_ids = make().encode("Once upon" + text).ids
    cut = min(cut + 1, len(token_ids))
    prompt = make().decode(token_ids[:cut])
    if not prompt.endswith(REPLACEMENT):
        parts = stream(detokenizer(make(), token_ids[:cut]), token_ids[cut:])
        assert prompt + "".join(parts) == make().decode(token_ids)


def test_the_first_space_is_kept_after_a_prompt() -> None:
    token_ids = metaspace().encode("the the").ids
    assert metaspace().decode(token_ids) == "the the"
    cut = len(metaspace().encode("the").ids)
    assert "".join(stream(detokenizer(metaspace(), token_ids[:cut]), token_ids[cut:])) == " the"
    assert "".join(stream(detokenizer(metaspace()), token_ids[cut:])) == "the"


def test_a_token_costs_the_same_at_any_length() -> None:
    sizes = []

    def decode(token_ids: list[int]) -> str:
        sizes.append(len(token_ids))
        return str(byte_level().decode(token_ids))

    token_ids = byte_level().encode("Streams of water, 你好 🦊 " * 50).ids
    subject = Detokenizer(decode, frozenset(), [])
    stream(subject, token_ids)
    assert max(sizes) <= 2 * MAX_SETTLED
    assert len(sizes) < 1.5 * len(token_ids)


def test_endless_broken_bytes_do_not_pile_up() -> None:
    broken = byte_level().token_to_id("Ģ")
    parts = stream(detokenizer(byte_level()), [broken] * 1000)
    assert "".join(parts) == REPLACEMENT * 1000
    assert max(map(len, parts)) <= MAX_PENDING


STOPS = st.lists(st.text("ab好🦊 ", min_size=1, max_size=4), max_size=3)


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.text("ab好🦊 ", max_size=3), max_size=20), stops=STOPS)
@example(pieces=["a", "a", "b"], stops=["ab"])
@example(pieces=["aab"], stops=["ab", "aab"])
def test_stop_strings(pieces: list[str], stops: list[str]) -> None:
    finder = StopFinder(stops)
    shown, pushed = "", ""
    for piece in pieces:
        pushed += piece
        shown += finder.push(piece)
        assert finder.has_stopped == any(stop in pushed for stop in stops)
        if finder.has_stopped:
            break
        assert pushed.startswith(shown)
        assert len(pushed) - len(shown) < max(map(len, stops), default=1)
    shown += finder.flush()
    starts = [pushed.find(stop) for stop in stops if stop in pushed]
    assert shown == (pushed[: min(starts)] if starts else pushed)


@TOKENIZERS
@settings(max_examples=200, deadline=None)
@given(text=TEXTS, stop=st.text("ae 好🦊", min_size=1, max_size=3))
def test_stop_strings_span_tokens(make: Callable[[], Tokenizer], text: str, stop: str) -> None:
    token_ids = make().encode(f"{text}{stop}{text}").ids
    answer = Answer(detokenizer(make()), [stop])
    shown = ""
    for token_id in token_ids:
        shown += answer.push(token_id)
        if answer.has_stopped:
            break
    shown += answer.flush()
    whole = make().decode(token_ids)
    assert shown == whole.split(stop)[0]
