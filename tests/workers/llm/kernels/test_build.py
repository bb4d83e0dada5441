"""The kernels are compiled once, safely by several at a time; without a compiler torch does their work."""

import multiprocessing
from pathlib import Path

import pytest

from tests.workers.llm.driver import Driver
from workers.llm.kernels import library
from workers.llm.kernels.build import BuildError, library_path

PROMPT = [*range(20, 31)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sluice" / "kernels"


def test_several_workers_at_once(cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        paths = pool.map(_path, range(3))
    assert len(set(paths)) == 1
    assert [str(path) for path in cache.iterdir()] == paths[:1]


def _path(_: int) -> str:
    return str(library_path())


def test_a_compiler_that_refuses(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(BuildError):
        library_path()
    assert list(cache.iterdir()) == []


def test_no_compiler(
    cache: Path, llama: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_kernels = Driver(llama).generate(PROMPT).token_ids
    monkeypatch.setenv("CC", "no-such-compiler")
    library._library.cache_clear()
    library.kernels_for.cache_clear()
    assert Driver(llama).generate(PROMPT).token_ids == with_kernels
    assert "no kernels" in caplog.text
    assert not list(cache.iterdir())
