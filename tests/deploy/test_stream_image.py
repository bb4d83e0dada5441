"""scripts/stream_image.py, run as a user runs it."""

import io
import os
import pty
import re
import signal
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.deploy.terminal import read_terminal
from tests.service_process import ROOT, ServiceProcess

TIMEOUT_S = 120
SCRIPT = ROOT / "scripts" / "stream_image.py"
# What tells one terminal from another.
TERMINAL = ("TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "COLORTERM", "TMUX")


@pytest.fixture(scope="module")
def service(image_service: ServiceProcess) -> Iterator[ServiceProcess]:
    yield image_service
    image_service.wait_ready()
    image_service.check_serves()


def start(service: ServiceProcess, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    command = [str(SCRIPT), "--url", service.url, "a fox", *arguments]
    return subprocess.Popen(command, text=True, **streams)


def shown(service: ServiceProcess, *arguments: str, **terminal: str) -> str:
    """What a terminal of that kind is sent."""
    env = {name: value for name, value in os.environ.items() if name not in TERMINAL} | terminal
    here, there = pty.openpty()
    with start(service, *arguments, stderr=there, env=env) as process:
        os.close(there)
        told = read_terminal(here)
        assert process.wait(TIMEOUT_S) == 0
    return told


def test_saves_the_image_and_its_previews(service: ServiceProcess, tmp_path: Path) -> None:
    flags = ("--steps", "5", "--seed", "7", "--size", "64x32", "--format", "webp")
    flags += ("--previews", str(tmp_path / "previews"), "--strip", str(tmp_path / "strip.png"))
    with start(service, *flags, cwd=tmp_path) as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (0, "image-7.webp\n")
    with Image.open(tmp_path / "image-7.webp") as image:
        assert (image.format, image.size) == ("WEBP", (64, 32))
    with Image.open(tmp_path / "strip.png") as strip:
        assert (strip.format, strip.size) == ("PNG", (3 * 64, 32))
    previews = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert previews == ["step-0002.webp", "step-0004.webp"]
    assert re.findall(r"step (\d) of 5", err) == ["1", "2", "3", "4", "5"]
    assert re.search(r"\n\[5 steps, \d+\.\d{3} s, \d+\.\d\d steps/s, seed 7\]\n$", err)


def test_terminals_see_pictures_as_they_can(service: ServiceProcess, tmp_path: Path) -> None:
    flags = ("--steps", "3", "--every", "1", "--format", "jpeg", "--out", str(tmp_path / "x" / "image"))
    plain = shown(service, *flags)
    assert "100%" in plain and "\033_G" not in plain and "▀" not in plain
    assert shown(service, *flags, COLORTERM="truecolor").count("\0337") == 3
    assert shown(service, *flags, COLORTERM="truecolor", TMUX="x", KITTY_WINDOW_ID="1").count("\0337") == 3
    kitty = shown(service, *flags, KITTY_WINDOW_ID="1")
    pictures = re.findall(r"\033_Ga=T,([^;]*);(.*?)\033\\(?!\033_G)", kitty)
    assert len(pictures) == 3
    for controls, chunks in pictures:
        assert {"f=100", "C=1"} <= set(controls.split(","))
        data = b64decode(re.sub(r"\033\\\033_Gm=[01];", "", chunks))
        assert Image.open(io.BytesIO(data)).format == "PNG"
    iterm = shown(service, *flags, TERM_PROGRAM="iTerm.app")
    pictures = re.findall(r"\033\]1337;File=inline=1;([^:]*):([^\a]*)\a", iterm)
    assert len(pictures) == 3
    assert all(Image.open(io.BytesIO(b64decode(data))).format == "JPEG" for _, data in pictures)
    assert (tmp_path / "x" / "image").exists()


def test_interrupt_cancels_the_stream(service: ServiceProcess) -> None:
    before = service.metrics()["ended"].get("cancelled", 0)
    with start(service, "--steps", "150", "--size", "256x256") as process:
        assert process.stderr
        assert "step 1 of 150" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (130, "")
    assert re.search(r"\[cancelled\] \d+ steps", err)
    assert service.metrics()["ended"]["cancelled"] == before + 1


def test_refusals_are_told(service: ServiceProcess, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, words in (
        (("--steps", "0"), ("422", "$.steps", "1")),
        (("--model", "nope"), ("404", "nope", "sd")),
        (("--size", "63x64"), ("422", "$.width", "multiple")),
    ):
        with start(service, *arguments) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out) == (1, "")
        assert all(word in err for word in words), err
        assert len(err.splitlines()) == 1
    with start(service, "--out", str(tmp_path / "file" / "image.png")) as process:
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "cannot write" in err.splitlines()[-1]
