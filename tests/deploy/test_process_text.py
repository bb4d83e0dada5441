"""scripts/process_text.py, run as a user runs it."""

import json
import os
import pty
import re
import subprocess
from typing import Any

from tests.contract.stages import TEXT
from tests.deploy.terminal import read_terminal
from tests.service_process import ROOT, ServiceProcess

TIMEOUT_S = 120
SCRIPT = ROOT / "scripts" / "process_text.py"


def start(url: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([str(SCRIPT), "--url", url, *arguments], text=True, **streams)


def test_shows_the_stages_and_prints_the_result(pipeline_service: ServiceProcess) -> None:
    with start(pipeline_service.url, TEXT, "--chunk-size", "50", "--model", "pipeline") as process:
        out, err = process.communicate(timeout=TIMEOUT_S)
    result = json.loads(out)
    assert process.returncode == 0
    assert set(result) == {"sentiment", "summarization", "entities"}
    assert [entity["text"] for entity in result["entities"]["entities"]] == ["Köln", "Anna Schmidt", "Monday"]
    shares = [int(share) for share in re.findall(r"\[#+\.*\] +(\d+)%", err)]
    assert len(shares) == len(result["sentiment"]["chunk_sentiments"]) > 1
    assert shares == sorted(shares)
    assert shares[-1] == 100
    stages = ("sentiment complete", "summarization complete", "entities complete", "Processing completed")
    places = [err.index(stage) for stage in stages]
    assert places == sorted(places)
    assert re.search(r"\[3 sections, \d+\.\d{3} s\]\n$", err)


def test_reads_standard_input_and_leaves_sections_out(pipeline_service: ServiceProcess) -> None:
    flags = ("--no-sentiment", "--no-summary")
    with start(pipeline_service.url, *flags, stdin=subprocess.PIPE) as process:
        out, _ = process.communicate(TEXT, timeout=TIMEOUT_S)
    assert (process.returncode, set(json.loads(out))) == (0, {"entities"})


def test_a_terminal_sees_one_bar_that_grows(pipeline_service: ServiceProcess) -> None:
    here, there = pty.openpty()
    with start(pipeline_service.url, TEXT, "--chunk-size", "50", stderr=there) as process:
        os.close(there)
        shown = read_terminal(here)
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert shown.count("\r\x1b[K") > 1
    assert "100%" in shown


def test_refusals_are_told(pipeline_service: ServiceProcess) -> None:
    for arguments, words in (
        (("too short",), ("422", "$.text", "10")),
        ((TEXT, "--model", "nope"), ("404", "nope")),
        ((TEXT, "--chunk-size", "49"), ("422", "chunk_size", "50")),
    ):
        with start(pipeline_service.url, *arguments) as process:
            out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out) == (1, "")
        assert all(word in err for word in words), err
        assert len(err.splitlines()) == 1
