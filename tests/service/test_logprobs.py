"""Likelihoods on their way: joined with their text, counted in the log, in the API's two shapes."""

from msgspec import structs

from service.dialects.logprobs import chat_logprobs, completion_logprobs
from service.events import LOGPROB_BYTES, join
from service.streams import EVENT_BYTES
from tests.service.fakes import delta, stream_of
from workers.messages import TextDelta, TokenLogprob, TopLogprob

FOX = TokenLogprob(
    "\ufffd", b"\xf0\x9f", -0.5, 3, [TopLogprob(" a", b" a", -0.25), TopLogprob("<|end|>", b"", -2.0)]
)
REST = TokenLogprob("\ufffd", b"\xa6\x8a", -1.0, 3, [TopLogprob("\ufffd", b"\xa6\x8a", -1.0)])


def told(text: str, *tokens: TokenLogprob) -> TextDelta:
    return structs.replace(delta(text), logprobs=list(tokens))


def test_joined_text_joins_them() -> None:
    assert join([told("a", FOX), told("b"), told("c", REST)]).logprobs == [FOX, REST]


async def test_they_are_held_against_the_reader() -> None:
    stream = stream_of()
    stream.push(told("abc", FOX, REST))
    assert stream.log.kept_bytes == EVENT_BYTES + 3 + 5 * LOGPROB_BYTES
    assert not stream.terminal
    stream.end("cancelled")


async def test_tokens_that_show_nothing_are_told_too() -> None:
    stream = stream_of()
    stream.push(told(""))
    stream.push(told("", FOX))
    assert stream.log.seq == 1
    stream.end("cancelled")


def test_chat() -> None:
    assert chat_logprobs([FOX]) == {
        "content": [
            {
                "token": "\ufffd",
                "logprob": -0.5,
                "bytes": [0xF0, 0x9F],
                "top_logprobs": [
                    {"token": " a", "logprob": -0.25, "bytes": [32, 97]},
                    {"token": "<|end|>", "logprob": -2.0, "bytes": None},
                ],
            }
        ],
        "refusal": None,
    }


def test_completions_tell_halves_of_characters_apart() -> None:
    first, second = "bytes:\\xf0\\x9f", "bytes:\\xa6\\x8a"
    assert completion_logprobs([FOX, REST], 10) == {
        "tokens": [first, second],
        "token_logprobs": [-0.5, -1.0],
        "top_logprobs": [{" a": -0.25, "<|end|>": -2.0, first: -0.5}, {second: -1.0}],
        "text_offset": [13, 13],
    }
