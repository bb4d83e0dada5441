"""Debian's real nginx with the shipped config; only addresses, ports and paths are substituted."""

import os
import subprocess
from pathlib import Path
from typing import Self

import httpx

from tests.requirements import need
from tests.service_process import REQUEST_TIMEOUT_S, ROOT, STOP_TIMEOUT_S, free_port, wait_for

SHIPPED = ROOT / "config" / "nginx.conf"
TEMP_KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """Runs in front of `upstream` (host:port) on a free port of 127.0.0.1. Use as a context manager."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self._program = need("nginx")
        self._folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = SHIPPED.read_text()
        for shipped, substitute in {
            "listen 80;": f"listen 127.0.0.1:{port};",
            "server 127.0.0.1:8080 ": f"server {upstream} ",
            "/var/log/nginx/": f"{folder}/",
        }.items():
            assert config.count(shipped) == 1, shipped
            config = config.replace(shipped, substitute)
        (folder / "sluice.conf").write_text(config)
        (folder / "nginx.conf").write_text(self._main_config())

    def _main_config(self) -> str:
        lines = [
            "daemon off;",
            f"error_log {self._folder}/error.log info;",
            f"pid {self._folder}/nginx.pid;",
            "worker_processes 1;",
        ]
        if os.geteuid() == 0:
            # The test's folder is root's own; nginx would give its worker to www-data.
            lines.append("user root;")
        temps = " ".join(f"{kind}_temp_path {self._folder}/{kind};" for kind in TEMP_KINDS)
        return "\n".join(
            [*lines, "events {}", f"http {{ {temps}", f"include {self._folder}/sluice.conf;", "}"]
        )

    def __enter__(self) -> Self:
        log = self._folder / "error.log"
        command = [self._program, "-p", f"{self._folder}", "-e", f"{log}", "-c", f"{self._folder}/nginx.conf"]
        self.process = subprocess.Popen(command)
        try:
            wait_for(self._answers, explain=lambda: log.read_text() if log.exists() else "no log")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(STOP_TIMEOUT_S) == 0

    def _answers(self) -> bool:
        assert self.process.poll() is None, "nginx has left"
        try:
            return bool(httpx.get(f"{self.url}/healthz", timeout=REQUEST_TIMEOUT_S).status_code)
        except httpx.TransportError:
            return False
