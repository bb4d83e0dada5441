"""What is missing is told, and CI does not overlook it."""

import pytest

from tests.requirements import need

MISSING = "no-such-program"


def test_missing_program_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "false")
    with pytest.raises(pytest.skip.Exception, match=MISSING):
        need(MISSING)


def test_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=MISSING):
        need(MISSING)
