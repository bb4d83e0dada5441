"""Compiles the kernels by the system's C compiler, once for each source, compiler and processor."""

import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

FLAGS = ("-O3", "-march=native", "-std=gnu11", "-shared", "-fPIC", "-pthread")
PARTS = ("kernels.c", "pool.inc", "typed.inc", "attention.inc", "weights.inc", "products.inc")
SOURCES = [Path(__file__).with_name(name) for name in PARTS]
TIMEOUT_S = 120.0


class BuildError(Exception):
    """There is no compiler, or it refused."""


def library_path() -> Path:
    """The compiled kernels, made now where they are not there yet: some 3 s, else a millisecond.

    Workers that start at once may each compile; the last one's file stays, and all are the same.
    Raises BuildError.
    """
    compiler = os.environ.get("CC") or "cc"
    folder = _folder()
    path = folder / f"kernels-{_key(compiler)}.so"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _compile(compiler, path)
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(_one_line(error)) from error
    return path


def _folder() -> Path:
    """`XDG_CACHE_HOME`, else `~/.cache`: a folder that only this user can write."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "sluice" / "kernels"


def _key(compiler: str) -> str:
    parts = [source.read_bytes() for source in SOURCES]
    parts += [" ".join((compiler, *FLAGS)).encode(), platform.machine().encode(), _processor()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> bytes:
    """What it can do: a home folder may be shared by machines that differ in that."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return b""
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")


def _compile(compiler: str, path: Path) -> None:
    handle, making = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(handle)
    try:
        command = [compiler, *FLAGS, "-o", making, str(SOURCES[0]), "-lm"]
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
        Path(making).replace(path)
    finally:
        Path(making).unlink(missing_ok=True)


def _one_line(error: Exception) -> str:
    lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
