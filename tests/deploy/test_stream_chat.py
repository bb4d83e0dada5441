"""scripts/stream_chat.py, run as a user runs it."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.service_process import ROOT, ServiceProcess, free_port

SCRIPT = ROOT / "scripts" / "stream_chat.py"
TIMEOUT_S = 120
FIGURES = r"(\d+) tokens, first after \d+\.\d{3} s, [\d.]+ tokens/s"


def start(url: str, *arguments: str) -> subprocess.Popen[str]:
    command = [str(SCRIPT), "--url", url, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_prints_the_answer_and_its_figures(echo_service: ServiceProcess) -> None:
    with start(echo_service.url, "What is a sluice? 🦊", "--temperature", "0", "--model", "echo") as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (0, "What is a sluice? 🦊\n")
    figures = re.fullmatch(rf"\[{FIGURES}\]\n", err)
    assert figures
    assert int(figures[1]) == 5


def test_max_tokens(echo_service: ServiceProcess) -> None:
    with start(echo_service.url, "one two three four", "--max-tokens", "2") as process:
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (0, "one two\n")


def test_interrupt_cancels_the_stream(paced_service: ServiceProcess) -> None:
    paced_service.wait_idle()
    before = paced_service.metrics()["ended"].get("cancelled", 0)
    with start(paced_service.url, " ".join(["tick"] * 200), "--model", "steady") as process:
        assert process.stdout
        # It is printed as it comes: the stream is far from its end.
        assert process.stdout.read(4) == "tick"
        assert paced_service.metrics()["active_streams"] == 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert out.endswith("\n")
    assert out.count("tick") < 200
    assert re.search(r"^\[cancelled\] \d+ tokens", err, re.MULTILINE)
    assert "Traceback" not in err
    paced_service.wait_idle()
    assert paced_service.metrics()["ended"]["cancelled"] == before + 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hello", "--model", "nope"), ("404", "nope", "model_not_found")),
        (("hello", "--max-tokens", "0"), ("400", "max_tokens")),
    ],
)
def test_refusal_is_told(
    echo_service: ServiceProcess, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    with start(echo_service.url, *arguments) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (1, "")
    assert all(word in err for word in words)
    assert len(err.splitlines()) == 1


def test_no_service_is_told() -> None:
    with start(f"http://127.0.0.1:{free_port()}", "hello") as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(
        r"stream_chat: cannot reach http://127.0.0.1:\d+: .*; is scripts/serve running\?\n", err
    )


def test_answer_that_is_cut_short_is_an_error(paced_config: str, tmp_path: Path) -> None:
    flags = ("--config", paced_config, "--set", "http.drain_timeout_s=0")
    with (
        ServiceProcess(tmp_path, *flags) as service,
        start(service.url, " ".join(["tick"] * 200), "--model", "steady") as process,
    ):
        assert process.stdout
        assert process.stdout.read(4) == "tick"
        service.stop()
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "cut short: drained" in err


def test_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('me = "open sesame"\n')
    flags = ("--model", "echo", "--set", "model_defaults.engine=echo", "--set", f"auth.keys_file={keys}")
    with ServiceProcess(tmp_path, *flags) as service:
        with start(service.url, "hello there", "--key", "open sesame") as process:
            assert process.communicate(timeout=TIMEOUT_S)[0] == "hello there\n"
        with start(service.url, "hello there") as process:
            assert "401" in process.communicate(timeout=TIMEOUT_S)[1]
