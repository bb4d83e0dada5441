"""What a test needs beside Python. Missing: skipped with the reason; with CI=true, failed."""

import os
import shutil
from typing import NoReturn

import pytest


def need(command: str) -> str:
    """The path of a program that `scripts/test` installs where it may."""
    # Debian keeps servers where only root's PATH looks.
    path = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return path or lack(f"no {command} here; scripts/test installs it where it may")


def lack(reason: str) -> NoReturn:
    """Say that the test cannot run here, and why."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks what this test needs: {reason}")
    pytest.skip(reason)
