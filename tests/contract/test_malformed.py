"""What is no HTTP, or the wrong method: the error object too, as everywhere, and no line in the log."""

import json
import zlib
from contextlib import closing
from typing import Any

import pytest

from tests.contract.raw import connect, exchange
from tests.contract.test_hostile import GARBAGE, raw_head
from tests.service_process import ServiceProcess

POST = ("Content-Type: application/json", "Connection: close")


def parse(head: bytes, body: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and the error object of a raw answer."""
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert headers["content-type"].startswith("application/json")
    assert headers["server"] == "sluice"
    assert headers["x-request-id"].startswith("req_")
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    return int(first.split()[1]), headers, error


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage(service: ServiceProcess, name: str) -> None:
    status, _, error = parse(*exchange(service.url, GARBAGE[name]))
    assert (status, error["code"]) == (400, "bad_request")
    assert error["message"].startswith("malformed HTTP: ")
    assert "\n" not in error["message"] and not error["message"].endswith("^")
    assert len(error["message"]) < 400


def test_a_chunk_that_breaks_after_the_handler_has_begun(service: ServiceProcess) -> None:
    request = raw_head(*POST, "Transfer-Encoding: chunked", "Expect: 100-continue")
    with closing(connect(service.url)) as client:
        client.sendall(request)
        # The handler is reading: it said so.
        assert client.recv(1 << 10).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"zz\r\n")
        answer = b""
        while chunk := client.recv(1 << 16):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status, _, error = parse(head, body)
    assert status == 400
    assert "Invalid character in chunk size" in error["message"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_encoded_as_it_says(service: ServiceProcess, encoding: str) -> None:
    lines = (*POST, f"Content-Encoding: {encoding}", "Content-Length: 8")
    status, _, error = parse(*exchange(service.url, raw_head(*lines) + b"\xffnothing"))
    assert (status, error["code"]) == (400, "bad_body")
    assert encoding in error["message"]


def test_an_encoded_body_is_measured_as_it_is_read(service: ServiceProcess) -> None:
    """A few kilobytes that would unpack to more than a body may have."""
    bomb = zlib.compress(b" " * (64 << 20), 9)
    lines = (*POST, "Content-Encoding: deflate", f"Content-Length: {len(bomb)}")
    status, _, error = parse(*exchange(service.url, raw_head(*lines) + bomb))
    assert (status, error["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/stream_text", "GET,POST"),
        ("OPTIONS", "/v1/chat/completions", "GET,POST"),
        ("POST", "/metrics", "GET,HEAD"),
        ("DELETE", "/v1/completions", "POST"),
    ],
)
def test_wrong_methods_are_told_the_right_ones(
    service: ServiceProcess, method: str, path: str, allowed: str
) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    status, headers, error = parse(*exchange(service.url, request))
    assert (status, headers["allow"], error["code"]) == (405, allowed, "method_not_allowed")
    assert all(name in error["message"] for name in allowed.split(","))


def test_the_log_has_no_traceback_of_all_this(service: ServiceProcess) -> None:
    assert not [line for line in service.log_lines() if "traceback" in line]
