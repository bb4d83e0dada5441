"""The OpenAI routes, chunk by chunk."""

from typing import Any

import pytest

from tests import sse
from tests.service_process import ServiceProcess

TEXT = "One two three"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def chunks(service: ServiceProcess, path: str, body: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    """The chunks of a streamed answer, which ends with `[DONE]`, and only there."""
    answer = service.http.post(path, json=body | {"stream": True}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/event-stream"
    events = list(sse.events(answer))
    assert [event.data for event in events].index("[DONE]") == len(events) - 1
    assert {event.event for event in events} == {None}
    return sse.objects(answer.content)


def test_chat_chunks_in_order(service: ServiceProcess) -> None:
    seen = chunks(service, "/v1/chat/completions", {"messages": MESSAGES, "model": "echo"})
    assert len({(chunk["id"], chunk["created"]) for chunk in seen}) == 1
    assert seen[0]["id"].startswith("chatcmpl-")
    assert {(chunk["object"], chunk["model"]) for chunk in seen} == {("chat.completion.chunk", "echo")}
    choices = [chunk["choices"][0] for chunk in seen]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": ""},
        {"content": "One"},
        {"content": " two"},
        {"content": " three"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None] * 4 + ["stop"]
    assert not any("usage" in chunk for chunk in seen)


def test_usage_comes_once_at_the_end_and_null_before(service: ServiceProcess) -> None:
    options = {"stream_options": {"include_usage": True}}
    for path, prompt in (
        ("/v1/chat/completions", {"messages": MESSAGES}),
        ("/v1/completions", {"prompt": TEXT}),
    ):
        seen = chunks(service, path, prompt | options)
        assert (seen[-1]["choices"], seen[-1]["usage"]) == ([], USAGE)
        assert all(chunk["usage"] is None for chunk in seen[:-1])


def test_each_choice_has_its_own_order(service: ServiceProcess) -> None:
    seen = chunks(service, "/v1/chat/completions", {"messages": MESSAGES, "n": 3, "max_tokens": 2})
    for index in range(3):
        own = [c["choices"][0] for c in seen if c["choices"][0]["index"] == index]
        assert [choice["delta"].get("role") for choice in own] == ["assistant", None, None, None]
        assert "".join(choice["delta"].get("content", "") for choice in own) == "One two"
        assert [choice["finish_reason"] for choice in own] == [None, None, None, "length"]


def test_completion_chunks(service: ServiceProcess) -> None:
    seen = chunks(service, "/v1/completions", {"prompt": ["a b", "c"], "n": 2})
    texts = dict.fromkeys(range(4), "")
    for chunk in seen:
        assert chunk["object"] == "text_completion"
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == {0: "a b", 1: "a b", 2: "c", 3: "c"}
    assert [c["choices"][0]["finish_reason"] for c in seen].count("stop") == 4


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("a b", ["a b"]),
        (["a b"], ["a b"]),
        (["a", "b"], ["a", "b"]),
        ([5, 6], [" 5 6"]),
        ([[5, 6], [7]], [" 5 6", " 7"]),
    ],
)
def test_whole_completions_of_every_form_of_prompt(
    service: ServiceProcess, prompt: Any, texts: list[str]
) -> None:
    answer = service.http.post("/v1/completions", json={"prompt": prompt}).json()
    assert answer["object"] == "text_completion"
    assert [choice["text"] for choice in answer["choices"]] == texts
    assert [choice["index"] for choice in answer["choices"]] == list(range(len(texts)))


def test_whole_chat_completion(service: ServiceProcess) -> None:
    answer = service.http.post("/v1/chat/completions", json={"messages": MESSAGES, "n": 2})
    body = answer.json()
    assert answer.headers["X-Stream-Id"].startswith("st_")
    assert (body["object"], body["model"]) == ("chat.completion", "echo")
    for index, choice in enumerate(body["choices"]):
        assert choice["index"] == index
        assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", TEXT)
        assert choice["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


def test_running_usage_counts_the_chunks_own_choice(service: ServiceProcess) -> None:
    options = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    for path, prompt in (
        ("/v1/chat/completions", {"messages": MESSAGES}),
        ("/v1/completions", {"prompt": TEXT}),
    ):
        *seen, end = chunks(service, path, prompt | options | {"n": 2})
        assert end["usage"] == USAGE | {"completion_tokens": 6, "total_tokens": 9}
        for index in range(2):
            own = [chunk for chunk in seen if chunk["choices"][0]["index"] == index]
            told = [chunk["usage"] and chunk["usage"]["completion_tokens"] for chunk in own]
            assert told == ([0, 1, 2, 3, None] if "chat" in path else [1, 2, 3, None])
            assert {c["usage"]["prompt_tokens"] for c in own if c["usage"]} == {3}
    options = {"stream_options": {"continuous_usage_stats": True}}
    assert not any(
        "usage" in chunk for chunk in chunks(service, "/v1/completions", {"prompt": "x"} | options)
    )


@pytest.mark.parametrize("prompt", ["Föx a", ["Föx a"], [5, 6]])
def test_an_echoed_prompt_comes_first(service: ServiceProcess, prompt: Any) -> None:
    body = {"prompt": prompt, "n": 2}
    plain = service.http.post("/v1/completions", json=body).json()
    echoed = service.http.post("/v1/completions", json=body | {"echo": True}).json()
    for before, after in zip(plain["choices"], echoed["choices"], strict=True):
        assert after["text"] == before["text"] * 2
    assert echoed["usage"] == plain["usage"]
    texts = ["", ""]
    for chunk in chunks(service, "/v1/completions", body | {"echo": True}):
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == [choice["text"] for choice in echoed["choices"]]


@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_an_echoed_prompt_is_told_with_its_likelihoods(service: ServiceProcess, max_tokens: int) -> None:
    body = {"prompt": "Föx a box", "echo": True, "logprobs": 1, "max_tokens": max_tokens}
    answer = service.http.post("/v1/completions", json=body).json()
    (choice,) = answer["choices"]
    told = choice["logprobs"]
    num_tokens = 3 + min(3, max_tokens)
    assert "".join(told["tokens"]) == choice["text"]
    assert told["token_logprobs"] == [None] + [0.0] * (num_tokens - 1)
    assert told["top_logprobs"] == [None] + [{token: 0.0} for token in told["tokens"][1:]]
    assert told["text_offset"] == [0, 3, 5, 9, 12, 14][:num_tokens]
    assert answer["usage"]["completion_tokens"] == min(3, max_tokens)
    assert choice["finish_reason"] == ("length" if max_tokens < 3 else "stop")
    seen = [chunk["choices"][0] for chunk in chunks(service, "/v1/completions", body)]
    assert "".join(chunk["text"] for chunk in seen) == choice["text"]
    assert [token for chunk in seen if chunk["logprobs"] for token in chunk["logprobs"]["tokens"]] == told[
        "tokens"
    ]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("completions", {"suffix": "end"}, "suffix"),
        ("completions", {"max_tokens": 0}, "max_tokens"),
        ("completions", {"max_tokens": 0, "min_tokens": 1, "echo": True}, "min_tokens"),
        ("chat/completions", {"max_tokens": 0}, "max_tokens"),
        ("completions", {"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
        ("completions", {"min_tokens": -1}, "min_tokens"),
        ("completions", {"priority": 1.5}, "priority"),
        ("completions", {"priority": 1_000_001}, "priority"),
        ("completions", {"stop_token_ids": ["x"]}, "stop_token_ids"),
        ("completions", {"stop_token_ids": [0] * 129}, "stop_token_ids"),
        ("chat/completions", {"min_tokens": 9, "max_completion_tokens": 8}, "min_tokens"),
    ],
)
def test_what_does_not_go_together_is_named(
    service: ServiceProcess, path: str, fields: dict[str, Any], param: str
) -> None:
    prompt = {"messages": MESSAGES} if path.startswith("chat") else {"prompt": TEXT}
    answer = service.http.post(f"/v1/{path}", json=prompt | fields)
    assert (answer.status_code, answer.json()["error"]["param"].split("[")[0]) == (400, param)


@pytest.mark.parametrize("n", [1, 8])
def test_streamed_and_whole_are_the_same_however_long(service: ServiceProcess, n: int) -> None:
    """More than any log or pipe holds: nothing is lost on the way, whoever reads."""
    body = {"prompt": "a b c d e", "n": n, "max_tokens": 20_000 // n, "ignore_eos": True}
    whole = service.http.post("/v1/completions", json=body).json()
    expected = ("a b c d e" * 4_000)[: 9 * (20_000 // n // 5)]
    assert [choice["text"] for choice in whole["choices"]] == [expected] * n
    assert {choice["finish_reason"] for choice in whole["choices"]} == {"length"}
    texts = [""] * n
    for chunk in chunks(service, "/v1/completions", body):
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == [expected] * n


def test_message_parts_are_joined(service: ServiceProcess) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]
    body = {"messages": [{"role": "user", "content": parts}], "extra": {"ignored": 1}}
    answer = service.http.post("/v1/chat/completions", json=body).json()
    assert answer["choices"][0]["message"]["content"] == "a b"


def test_nulls_mean_defaults(service: ServiceProcess) -> None:
    names = (
        "stream",
        "stop",
        "seed",
        "n",
        "temperature",
        "top_p",
        "max_tokens",
        "stream_options",
        "logit_bias",
    )
    body = {"messages": MESSAGES} | dict.fromkeys((*names, "tools", "logprobs", "response_format"))
    assert service.http.post("/v1/chat/completions", json=body).status_code == 200


def test_ids_only_on_request(service: ServiceProcess) -> None:
    body = {"messages": MESSAGES, "stream": True}
    plain = service.http.post("/v1/chat/completions", json=body)
    assert b"id: " not in plain.content and b"retry: " not in plain.content
    resumable = service.http.post("/v1/chat/completions", json=body, headers={"X-Stream-Resumable": "1"})
    events = list(sse.events(resumable))
    assert [event.id for event in events[:4]] == ["1", "2", "3", "4"]
    assert resumable.content.startswith(b"retry: 2000\nid: 1\ndata: ")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/echo"])
def test_models(service: ServiceProcess, path: str) -> None:
    body = service.http.get(path).json()
    models = body["data"] if path == "/v1/models" else [body]
    assert models[0]["id"] == "echo"
    assert {"object", "created", "owned_by"} <= set(models[0])
    assert models[0]["object"] == "model"


def test_unknown_model_is_404_naming_the_known(service: ServiceProcess) -> None:
    for answer in (
        service.http.get("/v1/models/nope"),
        service.http.post("/v1/chat/completions", json={"messages": MESSAGES, "model": "nope"}),
        service.http.post("/v1/completions", json={"prompt": "x", "model": "nope", "stream": True}),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert "nope" in error["message"] and "echo" in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", {"type": "json_object"}),
    ],
)
def test_what_cannot_be_done_is_refused_not_ignored(service: ServiceProcess, field: str, value: Any) -> None:
    answer = service.http.post("/v1/chat/completions", json={"messages": MESSAGES, field: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("presence_penalty", 2.5, "2.5"),
        ("frequency_penalty", "high", "high"),
        ("repetition_penalty", 0, "0"),
        ("logit_bias", {"5": 101}, "101"),
        ("logit_bias", {"fox": 1}, "fox"),
        ("logit_bias", {"-5": 1}, "-5"),
        ("logit_bias", dict.fromkeys(map(str, range(1_025)), 1), "1024"),
    ],
)
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_bad_sampling_is_named(
    service: ServiceProcess, path: str, field: str, value: Any, names: str
) -> None:
    prompt = {"messages": MESSAGES} if path.startswith("chat") else {"prompt": TEXT}
    answer = service.http.post(f"/v1/{path}", json=prompt | {field: value})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"].split(".")[0].split("[")[0]) == (400, field)
    assert names in error["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", -5),
        ("presence_penalty", 2),
        ("frequency_penalty", -2.0),
        ("repetition_penalty", 1.5),
        ("logit_bias", {"5": 100, "0": -100}),
        ("logit_bias", {}),
    ],
)
def test_sampling_that_echo_has_no_use_for_is_taken(service: ServiceProcess, field: str, value: Any) -> None:
    answer = service.http.post("/v1/chat/completions", json={"messages": MESSAGES, field: value})
    assert answer.json()["choices"][0]["message"]["content"] == TEXT


def test_chat_logprobs_come_with_their_text(service: ServiceProcess) -> None:
    body = {"messages": MESSAGES, "logprobs": True, "top_logprobs": 3}
    whole = service.http.post("/v1/chat/completions", json=body).json()["choices"][0]
    told = whole["logprobs"]["content"]
    token = {"token": " two", "logprob": 0.0, "bytes": [32, 116, 119, 111]}
    assert told[1] == token | {"top_logprobs": [token]}
    assert "".join(entry["token"] for entry in told) == TEXT
    seen = [chunk["choices"][0] for chunk in chunks(service, "/v1/chat/completions", body)]
    for choice in seen:
        text = choice["delta"].get("content")
        own = choice["logprobs"]["content"] if choice["logprobs"] else []
        assert "".join(entry["token"] for entry in own) == (text or "")
    assert [entry for c in seen if c["logprobs"] for entry in c["logprobs"]["content"]] == told


@pytest.mark.parametrize("n", [1, 2])
def test_completion_logprobs_are_columns(service: ServiceProcess, n: int) -> None:
    body = {"prompt": ["Föx a", "b"], "logprobs": 1, "n": n}
    whole = service.http.post("/v1/completions", json=body).json()["choices"]
    assert [choice["logprobs"] for choice in whole[:n]] == [
        {
            "tokens": ["Föx", " a"],
            "token_logprobs": [0.0, 0.0],
            "top_logprobs": [{"Föx": 0.0}, {" a": 0.0}],
            "text_offset": [0, 3],
        }
    ] * n
    joined: list[dict[str, list[Any]]] = [{} for _ in whole]
    for chunk in chunks(service, "/v1/completions", body):
        choice = chunk["choices"][0]
        for name, column in (choice["logprobs"] or {}).items():
            joined[choice["index"]].setdefault(name, []).extend(column)
    assert joined == [choice["logprobs"] for choice in whole]


def test_logprobs_only_where_they_are_asked_for(service: ServiceProcess) -> None:
    for body in ({}, {"logprobs": False}, {"logprobs": None, "top_logprobs": None}):
        answer = service.http.post("/v1/chat/completions", json={"messages": MESSAGES} | body)
        assert answer.json()["choices"][0]["logprobs"] is None
    for path, body, param in (
        ("chat/completions", {"messages": MESSAGES, "top_logprobs": 2}, "top_logprobs"),
        ("chat/completions", {"messages": MESSAGES, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ("completions", {"prompt": "x", "logprobs": 21}, "logprobs"),
        ("completions", {"prompt": "x", "logprobs": -1}, "logprobs"),
    ):
        answer = service.http.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
