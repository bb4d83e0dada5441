"""Requests that mean harm or nothing: each gets its 4xx, and the service serves on."""

import json
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.contract.raw import connect, exchange
from tests.service_process import ServiceProcess, wait_for

CHAT, COMPLETIONS, GENERATE = "/v1/chat/completions", "/v1/completions", "/generate_stream"
USER = [{"role": "user", "content": "x"}]
JSON = {"Content-Type": "application/json"}
DEEP = b"[" * 100_000 + b"]" * 100_000
INT64 = 1 << 63


def refused(answer: Any, status: int, param: str | None = None, *words: str) -> None:
    """The contract's error object, saying field, value and limit."""
    error = answer.json()["error"]
    assert answer.status_code == status, error
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] and error["code"]
    assert error["param"] == param, error
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"].startswith("application/json")
    for word in (f"$.{param}" if param and param[0].islower() else "", *words):
        assert word in error["message"]


# Bodies that are JSON, but not what the route takes: field, and what the message must say.
FIELDS: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    (GENERATE, {}, "prompt", ("required",)),
    (GENERATE, {"prompt": None}, "prompt", ("str", "null")),
    (GENERATE, {"prompt": ""}, "prompt", (">= 1", '""')),
    (GENERATE, {"prompt": 3}, "prompt", ("str", "3")),
    (GENERATE, {"prompt": ["x"]}, "prompt", ("str", "array")),
    (GENERATE, {"prompt": {"a": "x"}}, "prompt", ("str", "object")),
    (GENERATE, {"prompt": "x", "max_tokens": 0}, "max_tokens", (">= 1", "0")),
    (GENERATE, {"prompt": "x", "max_tokens": -5}, "max_tokens", (">= 1", "-5")),
    (GENERATE, {"prompt": "x", "max_tokens": 1.5}, "max_tokens", ("int", "1.5")),
    (GENERATE, {"prompt": "x", "max_tokens": 1.0}, "max_tokens", ("int", "1.0")),
    (GENERATE, {"prompt": "x", "max_tokens": "3"}, "max_tokens", ("int", '"3"')),
    (GENERATE, {"prompt": "x", "max_tokens": True}, "max_tokens", ("int", "true")),
    (GENERATE, {"prompt": "x", "max_tokens": 10**9}, "max_tokens", ("<= 1000000", "1000000000")),
    (GENERATE, {"prompt": "x", "seed": INT64}, "seed", ("<= 9223372036854775807", str(INT64))),
    (GENERATE, {"prompt": "x", "seed": -INT64 - 1}, "seed", (">= -9223372036854775808",)),
    (GENERATE, {"prompt": "x", "seed": 1.5}, "seed", ("int", "1.5")),
    (GENERATE, {"prompt": "x", "seed": True}, "seed", ("int", "true")),
    (GENERATE, {"prompt": "x", "temperature": -0.1}, "temperature", (">= 0", "-0.1")),
    (GENERATE, {"prompt": "x", "temperature": 2.1}, "temperature", ("<= 2", "2.1")),
    (GENERATE, {"prompt": "x", "temperature": "hot"}, "temperature", ("float", "hot")),
    (GENERATE, {"prompt": "x", "top_p": 0}, "top_p", ("> 0",)),
    (GENERATE, {"prompt": "x", "top_p": 1.1}, "top_p", ("<= 1", "1.1")),
    (GENERATE, {"prompt": "x", "top_k": -2}, "top_k", (">= -1", "-2")),
    (GENERATE, {"prompt": "x", "top_k": 2.5}, "top_k", ("int", "2.5")),
    (GENERATE, {"prompt": "x", "ignore_eos": 1}, "ignore_eos", ("bool", "1")),
    (GENERATE, {"prompt": "x", "min_tokens": -1}, "min_tokens", (">= 0", "-1")),
    (GENERATE, {"prompt": "x", "presence_penalty": 2.5}, "presence_penalty", ("<= 2", "2.5")),
    (GENERATE, {"prompt": "x", "repetition_penalty": 0}, "repetition_penalty", ("> 0",)),
    (GENERATE, {"prompt": "x", "stop": ["a", "b", "c", "d", "e"]}, "stop", ("<= 4",)),
    (GENERATE, {"prompt": "x", "stop": [""]}, "stop[0]", (">= 1",)),
    (GENERATE, {"prompt": "x", "stop": ["a", 3]}, "stop[1]", ("str", "3")),
    (GENERATE, {"prompt": "x", "stop": {"a": 1}}, "stop", ("object",)),
    (GENERATE, {"prompt": "x", "raw": "yes"}, "raw", ("bool", "yes")),
    (GENERATE, {"prompt": "x", "model": 3}, "model", ("str", "3")),
    (GENERATE, {"prompt": "x", "model": ""}, "model", (">= 1",)),
    ("/safe_stream", {"prompt": "x", "max_retries": 11}, "max_retries", ("<= 10", "11")),
    ("/safe_stream", {"prompt": "x", "max_retries": -1}, "max_retries", (">= 0", "-1")),
    ("/chat/stream", {"message": ""}, "message", (">= 1",)),
    ("/chat/stream", {"message": "x", "session_id": "s" * 129}, "session_id", ("<= 128",)),
    ("/chat/stream", {"message": "x", "provider": 3}, "provider", ("str",)),
    (CHAT, {}, "messages", ("required",)),
    (CHAT, {"messages": []}, "messages", (">= 1", "[]")),
    (CHAT, {"messages": "hi"}, "messages", ("array", "hi")),
    (CHAT, {"messages": [None]}, "messages[0]", ("object", "null")),
    (CHAT, {"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", ("king", "assistant")),
    (CHAT, {"messages": [{"role": 3, "content": "x"}]}, "messages[0].role", ("str", "3")),
    (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role", ("required",)),
    (CHAT, {"messages": [*USER, {"role": "user", "content": 3}]}, "messages[1].content", ("str", "3")),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "video", "text": "x"}]}]},
        "messages[0].content[0].type",
        ("video", "text"),
    ),
    (CHAT, {"messages": USER, "n": 0}, "n", (">= 1", "0")),
    (CHAT, {"messages": USER, "n": 9}, "n", ("9", "8")),
    (CHAT, {"messages": USER, "n": 10**6}, "n", ("<= 128",)),
    (CHAT, {"messages": USER, "n": True}, "n", ("int", "true")),
    (CHAT, {"messages": USER, "stream": "yes"}, "stream", ("bool", "yes")),
    (CHAT, {"messages": USER, "stream": 1}, "stream", ("bool", "1")),
    (CHAT, {"messages": USER, "stream_options": {"include_usage": True}}, "stream_options", ("stream",)),
    (CHAT, {"messages": USER, "max_completion_tokens": 0}, "max_completion_tokens", (">= 1",)),
    (CHAT, {"messages": USER, "presence_penalty": 3}, "presence_penalty", ("<= 2", "3")),
    (CHAT, {"messages": USER, "logit_bias": {"1": 101}}, "logit_bias[...]", ("<= 100", "101")),
    (CHAT, {"messages": USER, "response_format": 3}, "response_format", ("object", "3")),
    (COMPLETIONS, {"prompt": []}, "prompt", (">= 1",)),
    (COMPLETIONS, {"prompt": [[]]}, "prompt[0]", (">= 1",)),
    (COMPLETIONS, {"prompt": ["a", 3]}, "prompt", ("mixture",)),
    (COMPLETIONS, {"prompt": [-1]}, "prompt[0]", (">= 0", "-1")),
    (COMPLETIONS, {"prompt": [1 << 40]}, "prompt[0]", ("<= 2147483647",)),
    (COMPLETIONS, {"prompt": [True]}, "prompt[0]", ("bool", "true")),
    (COMPLETIONS, {"prompt": "x", "best_of": 3}, "best_of", ("3", "1")),
]


@pytest.mark.parametrize(("path", "body", "param", "words"), FIELDS)
def test_fields(
    service: ServiceProcess, path: str, body: dict[str, Any], param: str, words: tuple[str, ...]
) -> None:
    status = 400 if path.startswith("/v1/") else 422
    refused(service.http.post(path, json=body), status, param, *words)


BAD_JSON = {
    "empty": b"",
    "broken": b'{"prompt": "x"',
    "not json": b"prompt=x",
    "NaN and broken": b'{"prompt": "x", "temperature": NaN',
    "two values": b'{"prompt": "x"} {}',
    "lone surrogate": b'{"prompt": "\\ud800"}',
    "lone surrogate and more": b'{"prompt": "\\ud83dx"}',
    "lone low surrogate": b'{"prompt": "\\udc00"}',
    "invalid UTF-8": b'{"prompt": "\xff\xfe"}',
    "encoded surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "UTF-16": '{"prompt": "x"}'.encode("utf-16"),
    "deep in an unknown field": b'{"prompt": "x", "deep": ' + DEEP + b"}",
    "control character": b'{"prompt": "a\x00b"}',
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_what_is_no_json(service: ServiceProcess, name: str) -> None:
    refused(service.http.post(GENERATE, content=BAD_JSON[name], headers=JSON), 400)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity"])
def test_numbers_that_json_does_not_have(service: ServiceProcess, number: bytes) -> None:
    content = b'{"prompt": "x", "temperature": ' + number + b"}"
    answer = service.http.post(GENERATE, content=content, headers=JSON)
    refused(answer, 400, "temperature", "not valid JSON", "finite")


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"x"', b"true"])
def test_json_that_is_no_object(service: ServiceProcess, body: bytes) -> None:
    refused(service.http.post(GENERATE, content=body, headers=JSON), 422, None, "object")


@pytest.mark.parametrize(
    ("field", "number"),
    [("temperature", "1e999"), ("temperature", "9" * 400), ("max_tokens", "9" * 5_000), ("seed", "1e3")],
)
def test_huge_numbers(service: ServiceProcess, field: str, number: str) -> None:
    body = f'{{"prompt": "x", "{field}": {number}}}'
    refused(service.http.post(GENERATE, content=body, headers=JSON), 422, field)


def test_deep_nesting_where_a_text_is_expected(service: ServiceProcess) -> None:
    refused(service.http.post(GENERATE, content=b'{"prompt": ' + DEEP + b"}", headers=JSON), 422, "prompt")
    refused(service.http.post(CHAT, content=b'{"messages": ' + DEEP + b"}", headers=JSON), 400, "messages[0]")
    tools = b'{"messages": [{"role": "user", "content": "x"}], "tools": ' + DEEP + b"}"
    refused(service.http.post(CHAT, content=tools, headers=JSON), 400, "tools[0]")


@pytest.mark.parametrize(
    "kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "x"]
)
def test_wrong_media_types(service: ServiceProcess, kind: str) -> None:
    answer = service.http.post(GENERATE, content=b'{"prompt": "x"}', headers={"Content-Type": kind})
    refused(answer, 415, "Content-Type", "application/json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", GENERATE),
        ("DELETE", CHAT),
        ("PATCH", "/streams"),
        ("POST", "/metrics"),
    ],
)
def test_wrong_methods(service: ServiceProcess, method: str, path: str) -> None:
    refused(service.http.request(method, path), 405, None, method)


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/v1", "/streams/", "/%00", "/%ff", "/../etc/passwd", "//", "/" + "x" * 2_000]
)
def test_unknown_routes(service: ServiceProcess, path: str) -> None:
    refused(service.http.post(path, json={}), 404)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "prompt"),
        ("prompt=", "prompt"),
        ("prompt=x&max_tokens=0", "max_tokens"),
        ("prompt=x&max_tokens=1.5", "max_tokens"),
        ("prompt=x&max_tokens=true", "max_tokens"),
        ("prompt=x&max_tokens=", "max_tokens"),
        ("prompt=x&seed=" + "9" * 40, "seed"),
        ("prompt=x&temperature=nan", "temperature"),
        ("prompt=x&temperature=inf", "temperature"),
        ("prompt=x&top_p=nan", "top_p"),
        ("prompt=x&raw=maybe", "raw"),
    ],
)
def test_queries(service: ServiceProcess, query: str, param: str) -> None:
    refused(service.http.get(f"{GENERATE}?{query}"), 422, param)


def test_invalid_utf8_in_a_query(service: ServiceProcess) -> None:
    head, body = exchange(
        service.url, b"GET /stream_text?prompt=%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert b" 400 " in head
    assert json.loads(body)["error"]["code"] == "bad_query"


def test_oversized_body(service: ServiceProcess) -> None:
    refused(service.http.post(GENERATE, content=b"x" * (4 << 20) + b"x", headers=JSON), 413, None, "4194304")


def raw_head(*lines: str) -> bytes:
    return "\r\n".join(["POST /stream_text HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")


GARBAGE = {
    "unknown method": b"X /ws HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes": b"\x00\xff\x16\x03\x01 garbage\r\n\r\n",
    "no HTTP": b"HELO there\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "huge header": raw_head(f"X-Big: {'x' * 100_000}"),
    "many headers": raw_head(*(f"X-{i}: y" for i in range(20_000))),
    "huge path": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "negative length": raw_head("Content-Length: -1"),
    "absurd length": raw_head("Content-Length: " + "9" * 40),
    "two lengths": raw_head("Content-Length: 1", "Content-Length: 2"),
    "length and chunks": raw_head("Content-Length: 3", "Transfer-Encoding: chunked"),
    "bad chunk": raw_head("Transfer-Encoding: chunked") + b"zz\r\nx\r\n0\r\n\r\n",
    "header without colon": raw_head("nonsense"),
    "header with a null": raw_head("X-A: a\x00b"),
    "space before the colon": raw_head("X-A : b"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_on_a_bare_socket_is_400(service: ServiceProcess, name: str) -> None:
    head, _ = exchange(service.url, GARBAGE[name])
    assert head.split(b"\r\n")[0].split(b" ")[1] in (b"400", b"413", b"431"), head


def half(text: str) -> Callable[[socket.socket], None]:
    return lambda client: client.sendall(text.encode())


@pytest.mark.parametrize(
    "begin",
    [
        "",
        "POST /stream_te",
        "POST /stream_text HTTP/1.1\r\nHost: x\r\n",
        "POST /stream_text HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        "POST /stream_text HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_half_requests_leave_nothing_behind(service: ServiceProcess, begin: str) -> None:
    before = service.metrics()["total_streams"]
    for _ in range(3):
        with closing(connect(service.url)) as client:
            client.sendall(begin.encode())
    service.check_serves()
    assert service.metrics()["total_streams"] == before + 1


def test_the_log_has_no_traceback_of_all_this(service: ServiceProcess) -> None:
    """Bad input is the caller's fault: it is answered, not logged as ours."""
    wait_for(lambda: service.log_lines())
    faults = [line for line in service.log_lines() if "traceback" in line or line.get("level") == "ERROR"]
    assert not faults
