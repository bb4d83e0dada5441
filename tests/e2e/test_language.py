"""The model that ships, through worker, service and the official client."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests import sse
from tests.service_process import REQUEST_TIMEOUT_S, ServiceProcess
from workers.embedded import LANGUAGE

STORY = "Tell me a story about a fox and a lantern."
MODEL = "tiny"


@pytest.fixture(scope="module")
def service(shipped_service: ServiceProcess) -> ServiceProcess:
    return shipped_service


@pytest.fixture
def client(service: ServiceProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, prompt: str, **wishes: object) -> openai.types.chat.ChatCompletion:
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model=MODEL, messages=messages, **wishes)  # type: ignore[call-overload,no-any-return]


def test_a_story_stays_with_what_was_asked_and_ends(client: openai.OpenAI) -> None:
    choice = ask(client, STORY, temperature=0, max_tokens=400).choices[0]
    assert choice.finish_reason == "stop"
    text = choice.message.content or ""
    assert "fox" in text
    assert "lantern" in text


def test_streamed_and_whole_answers_are_the_same(client: openai.OpenAI) -> None:
    wishes = {"n": 2, "seed": 11, "max_tokens": 60, "temperature": 0.9}
    whole = ask(client, STORY, **wishes)
    texts, usage = ["", ""], None
    for chunk in ask(client, STORY, stream=True, stream_options={"include_usage": True}, **wishes):  # type: ignore[attr-defined]
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert texts[0] != texts[1]
    assert usage == whole.usage


def test_a_seed_gives_the_same_text_also_in_company(client: openai.OpenAI, service: ServiceProcess) -> None:
    alone = ask(client, STORY, seed=7, max_tokens=80).choices[0].message.content
    endless = {"max_tokens": 900, "ignore_eos": True, "stream": True}
    company = [{"prompt": f"Tell me about {n} foxes.", **endless} for n in range(6)]
    with httpx.Client(base_url=service.url, timeout=REQUEST_TIMEOUT_S) as http:
        held = [http.build_request("POST", "/v1/completions", json=body) for body in company]
        answers = [http.send(request, stream=True) for request in held]
        service.wait_for_metrics(lambda m: sum(s["tokens"] > 0 for s in m["current_streams"]) == 6)
        assert ask(client, STORY, seed=7, max_tokens=80).choices[0].message.content == alone
        for answer in answers:
            answer.close()
    service.wait_idle()


def test_a_stop_string_ends_the_text_before_it(client: openai.OpenAI) -> None:
    whole = ask(client, STORY, temperature=0, max_tokens=100).choices[0].message.content or ""
    word = whole.split()[6]
    choice = ask(client, STORY, temperature=0, max_tokens=100, stop=[word]).choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.content == whole[: whole.index(word)]


def test_logprobs_streamed_and_whole_are_the_same(client: openai.OpenAI) -> None:
    wishes = {"n": 2, "seed": 4, "max_tokens": 40, "temperature": 1.5, "logprobs": True, "top_logprobs": 2}
    whole = ask(client, STORY, stop=["the"], **wishes)
    joined: list[list[object]] = [[], []]
    for chunk in ask(client, STORY, stream=True, stop=["the"], **wishes):  # type: ignore[attr-defined]
        for choice in chunk.choices:
            joined[choice.index] += choice.logprobs.content if choice.logprobs else []
    assert joined == [choice.logprobs and choice.logprobs.content for choice in whole.choices]
    for choice in whole.choices:
        assert choice.logprobs and choice.logprobs.content
        told = "".join(token.token for token in choice.logprobs.content)
        assert told.startswith(choice.message.content or "")


def test_least_and_last_tokens(client: openai.OpenAI, service: ServiceProcess) -> None:
    """A greeting ends soon by itself; it may be made to go on, and to end sooner."""
    body = {"temperature": 0, "max_tokens": 200, "logprobs": True}
    plain = ask(client, "Hello!", **body)
    assert plain.choices[0].finish_reason == "stop" and plain.usage
    num_tokens = plain.usage.completion_tokens + 10
    longer = ask(client, "Hello!", extra_body={"min_tokens": num_tokens}, **body)
    assert longer.usage and longer.usage.completion_tokens >= num_tokens
    text = longer.choices[0].message.content or ""
    assert text.startswith(plain.choices[0].message.content or "")
    native = service.http.post("/generate_stream", json={"prompt": "Hello!", "temperature": 0})
    ids = [token["token_id"] for token in sse.objects(native.content) if token.get("token")]
    ended = ask(client, "Hello!", extra_body={"stop_token_ids": [ids[3]]}, **body)
    assert ended.usage and ended.usage.completion_tokens == ids.index(ids[3]) + 1
    assert ended.choices[0].finish_reason == "stop"


def test_native_answers_go_on_past_their_end_too(service: ServiceProcess) -> None:
    def ids_of(**wishes: object) -> tuple[list[int], str]:
        body = {"prompt": "Hello!", "temperature": 0, "max_tokens": 80, **wishes}
        *tokens, end = sse.objects(service.http.post("/generate_stream", json=body).content)
        return [token["token_id"] for token in tokens if token.get("token")], end["finish_reason"]

    plain, reason = ids_of()
    assert reason == "stop"
    endless, reason = ids_of(ignore_eos=True)
    assert (reason, endless[: len(plain)]) == ("length", plain)
    assert len(ids_of(min_tokens=len(plain) + 5)[0]) > len(plain)
    assert ids_of(repetition_penalty=2, frequency_penalty=2)[0] != plain


def test_a_penalty_and_a_bias_change_what_is_said(client: openai.OpenAI) -> None:
    wishes = {"temperature": 0, "max_tokens": 60}
    plain = ask(client, STORY, **wishes).choices[0].message.content
    assert ask(client, STORY, frequency_penalty=2, **wishes).choices[0].message.content != plain
    bias = {str(token_id): -100 for token_id in range(2, 12)}
    assert ask(client, STORY, logit_bias=bias, **wishes).choices[0].message.content != ""
    with pytest.raises(openai.BadRequestError, match="token id 2048 is not in 0 … 2047"):
        ask(client, STORY, logit_bias={"2048": 1}, **wishes)


def test_length_and_context_limits(client: openai.OpenAI) -> None:
    asked = ask(client, STORY, max_tokens=5, extra_body={"ignore_eos": True})
    assert asked.choices[0].finish_reason == "length"
    with pytest.raises(openai.BadRequestError, match="limit of model"):
        ask(client, STORY, max_tokens=1_000_000)
    with pytest.raises(openai.BadRequestError, match="tokens"):
        ask(client, "fox " * 20_000)


def test_a_conversation_outgrows_the_context_and_goes_on(service: ServiceProcess) -> None:
    told = []
    wishes = {"session_id": "long", "max_tokens": 4, "temperature": 0}
    for number in range(9):
        body = wishes | {"message": f"{number} " + "fox and lantern " * 50}
        *_, end = sse.objects(service.http.post("/chat/stream", json=body).raise_for_status().content)
        assert end["finish_reason"] in ("length", "stop")
        told.append(end["usage"]["prompt_tokens"])
    limit = service.http.get("/v1/models/tiny").json()["max_model_len"]
    assert told[0] * len(told) > limit
    assert told[1] == max(told[:2])
    assert limit - 4 - told[0] - 10 <= min(told[-2:]) <= max(told) <= limit - 4


def test_resume_gives_the_rest_of_the_same_answer(service: ServiceProcess) -> None:
    body = {"prompt": STORY, "max_tokens": 60, "seed": 3}
    whole = service.http.post("/generate_stream", json=body, headers={"X-Stream-Resumable": "1"})
    events = list(sse.events(whole))
    path = f"/streams/{whole.headers['X-Stream-Id']}"
    for seen in (0, 1, len(events) // 2, len(events) - 1):
        rest = list(sse.events(service.http.get(path, headers={"Last-Event-ID": str(seen)})))
        assert [(e.id, e.event, e.data) for e in rest] == [(e.id, e.event, e.data) for e in events[seen:]]


def test_safe_stream_survives_its_worker_word_for_word(service: ServiceProcess) -> None:
    body = {"prompt": "Tell me a long story about a fox.", "max_tokens": 900, "seed": 5, "temperature": 0.9}
    whole = [
        o["token"] for o in sse.objects(service.http.post("/safe_stream", json=body).content) if "token" in o
    ]
    retries: list[str] = []
    while not retries:
        objects = with_worker_killed(service, body)
        assert "".join(o["token"] for o in objects if "token" in o) == "".join(whole)
        assert objects[-1]["is_complete"]
        retries = [o["type"] for o in objects if "type" in o]
    assert retries == ["retry"]


def with_worker_killed(service: ServiceProcess, body: dict[str, Any]) -> list[dict[str, Any]]:
    """All objects of a stream whose worker dies after the first; on a busy machine its last may have left."""
    worker = service.worker_pids()[0]
    with service.http.stream("POST", "/safe_stream", json=body) as answer:
        chunks = answer.iter_bytes()
        received = [next(chunks) for _ in range(8)]
        os.kill(worker, signal.SIGKILL)
        objects = sse.objects(b"".join([*received, *chunks]))
    service.wait_for_metrics(lambda m: worker not in [each["pid"] for each in m["workers"]])
    service.wait_ready()
    return objects


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_texts_are_scored_as_evaluation_harnesses_do_it(client: openai.OpenAI, max_tokens: int) -> None:
    """As lm-evaluation-harness asks and reads: prompts of token ids, the answer's one token cut off."""
    tokenizer = AutoTokenizer.from_pretrained(LANGUAGE)
    prompts = [tokenizer.encode(text) for text in (STORY, f"{STORY} The fox has a red scarf. " * 8)]
    wishes: Any = {"model": MODEL, "prompt": prompts, "echo": True, "logprobs": 1, "temperature": 0}
    answer = client.completions.create(max_tokens=max_tokens, seed=1234, **wishes)
    model = AutoModelForCausalLM.from_pretrained(LANGUAGE, dtype="float32")
    for prompt, choice in zip(prompts, answer.choices, strict=True):
        with torch.inference_mode():
            table = model(torch.tensor([prompt])).logits[0].log_softmax(-1)
        told: Any = choice.logprobs
        num_tokens = len(prompt) + max_tokens
        columns = (told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset)
        assert [len(column) for column in columns] == [num_tokens] * 4
        assert (told.token_logprobs[0], told.top_logprobs[0], told.text_offset[0]) == (None, None, 0)
        found = torch.tensor(told.token_logprobs[1 : len(prompt)])
        expected = table[:-1].gather(1, torch.tensor(prompt[1:]).unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
        best = torch.tensor([max(top.values()) for top in told.top_logprobs[1 : len(prompt)]])
        torch.testing.assert_close(best, table[:-1].max(-1).values, atol=1e-3, rtol=1e-3)
        assert choice.text.startswith(tokenizer.decode(prompt, skip_special_tokens=True))
        assert choice.finish_reason == "length" or max_tokens
    assert answer.usage
    assert answer.usage.prompt_tokens == sum(map(len, prompts))
    assert answer.usage.completion_tokens == max_tokens * len(prompts)


def test_scores_streamed_and_whole_are_the_same(client: openai.OpenAI) -> None:
    wishes: Any = {
        "model": MODEL,
        "prompt": STORY * 20,
        "echo": True,
        "logprobs": 2,
        "max_tokens": 12,
        "seed": 3,
    }
    (whole,) = client.completions.create(**wishes).choices
    told: Any = whole.logprobs
    texts = ""
    tokens: list[str] = []
    offsets: list[int] = []
    for chunk in client.completions.create(stream=True, **wishes):
        (choice,) = chunk.choices
        texts += choice.text
        if choice.logprobs:
            tokens += choice.logprobs.tokens or []
            offsets += choice.logprobs.text_offset or []
    assert (texts, tokens, offsets) == (whole.text, told.tokens, told.text_offset)
    assert texts.startswith(STORY * 20)
    # Special tokens have names, and no text.
    named = [(token, at) for token, at in zip(tokens, offsets, strict=True) if not token.startswith("<|")]
    assert len(named) >= len(tokens) - 2
    assert all(texts[at:].startswith(token) for token, at in named)
