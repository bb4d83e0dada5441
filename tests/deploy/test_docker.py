"""The Dockerfile, as far as it can be told without an engine: its paths, its user, its health check."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

from tests.service_process import ROOT, ServiceProcess


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined and comments left out."""
    lines = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    words = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, rest in words]


def exec_form(name: str) -> list[str]:
    rest = next(rest for word, rest in instructions() if word == name)
    command: list[str] = json.loads(rest[rest.index("[") :])
    return command


def test_two_stages_and_no_root() -> None:
    names = [name for name, _ in instructions()]
    assert names.count("FROM") == 2
    last_stage = instructions()[len(names) - 1 - names[::-1].index("FROM") :]
    users = [rest for name, rest in last_stage if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")


def test_health_check_tells_a_service_from_none(echo_service: ServiceProcess) -> None:
    program, *arguments = exec_form("HEALTHCHECK")
    assert program == ".venv/bin/python"

    def health(port: int | None) -> int:
        env = os.environ | {"SLUICE__HTTP__PORT": str(port)}
        return subprocess.run(
            [sys.executable, *arguments], env=env, capture_output=True, check=False
        ).returncode

    assert health(urlsplit(echo_service.url).port) == 0
    assert health(1) != 0


def test_starts_what_scripts_serve_starts() -> None:
    command = " ".join(exec_form("ENTRYPOINT"))
    assert command in (ROOT / "scripts" / "serve").read_text()
    assert any(name == "RUN" and rest.endswith("scripts/environment") for name, rest in instructions())


def test_what_is_ignored_is_not_needed() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    needed = (
        "service",
        "workers",
        "config",
        "scripts",
        "setup.cfg",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    )
    assert not set(needed) & set(ignored)
    assert ".venv" in ignored
