"""scripts/chat.py, run as a user runs it."""

import re
import subprocess
from pathlib import Path

from tests.service_process import ROOT, ServiceProcess, free_port, wait_for

SCRIPT = ROOT / "scripts" / "chat.py"
TIMEOUT_S = 120


class Terminal:
    """A person at the script: types lines, reads what stands there by now."""

    def __init__(self, folder: Path, url: str, *flags: str) -> None:
        self._paths = folder / "out", folder / "err"
        with self._paths[0].open("wb") as out, self._paths[1].open("wb") as err:
            command = [str(SCRIPT), "--url", url, *flags]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=err, text=True, bufsize=1
            )

    def type(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")

    @property
    def out(self) -> str:
        return self._paths[0].read_text()

    @property
    def err(self) -> str:
        return self._paths[1].read_text()

    def see(self, words: str, times: int = 1) -> None:
        wait_for(
            lambda: (self.out + self.err).count(words) >= times, explain=lambda: f"{self.out}\n{self.err}"
        )

    def leave(self) -> int:
        """Ctrl-D."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(TIMEOUT_S)


def test_questions_may_be_piped_in(echo_service: ServiceProcess, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, echo_service.url, "--model", "echo")
    terminal.type("one two 🦊")
    terminal.type("three")
    assert terminal.leave() == 0
    assert terminal.out == "one two 🦊\nthree\n"
    assert re.search(r"\[session cs_\S+, 0 messages so far\]", terminal.err)


def test_a_session_is_gone_on_with(echo_service: ServiceProcess, tmp_path: Path) -> None:
    flags = ("--session", "terminal", "--model", "echo")
    first = Terminal(tmp_path, echo_service.url, *flags, "--system", "Be kind.")
    first.type("one")
    assert first.leave() == 0
    second = Terminal(tmp_path, echo_service.url, *flags)
    second.see("session terminal, 3 messages so far")
    second.type("/history")
    second.see("assistant: one")
    assert second.out == "system: Be kind.\nuser: one\nassistant: one\n"
    second.type("/nonsense")
    second.see("/history shows what was said", times=2)
    second.type("/quit")
    assert second.process.wait(TIMEOUT_S) == 0
    second.leave()


def test_cancel_ends_the_answer_and_the_chat_goes_on(paced_service: ServiceProcess, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, paced_service.url, "--model", "steady")
    terminal.type("tick " * 200)
    terminal.see("tick tick")
    terminal.type("/cancel")
    terminal.see("[cancelled]")
    terminal.type("done")
    assert terminal.leave() == 0
    assert terminal.out.endswith("done\n")
    assert terminal.out.count("tick") < 200


def test_a_refusal_is_told_and_the_chat_goes_on(echo_service: ServiceProcess, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, echo_service.url, "--model", "nope")
    terminal.type("hello")
    terminal.see("model_not_found")
    assert terminal.leave() == 0


def test_no_service_is_told(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert terminal.process.wait(TIMEOUT_S) == 1
    assert "is scripts/serve running?" in terminal.err
    assert "Traceback" not in terminal.err
    terminal.leave()


def test_reconnects_to_its_session_when_the_service_restarts(tmp_path: Path) -> None:
    """With SQLite the session is there: the chat goes on as if nothing had been."""
    flags = ["--port", str(free_port()), "--model", "echo", "--set", "model_defaults.engine=echo"]
    flags += ["--set", "store.kind=sqlite", "--set", f"store.path={tmp_path / 'sluice.db'}"]
    with ServiceProcess(tmp_path, *flags) as service:
        terminal = Terminal(tmp_path, service.url, "--model", "echo", "--session", "kept")
        terminal.type("before")
        terminal.see("before\n")
        assert service.stop() == 0
        terminal.see("connection lost")
    with ServiceProcess(tmp_path, *flags) as service:
        terminal.see("session kept, 2 messages so far")
        terminal.type("after")
        terminal.see("after\n")
        terminal.type("/history")
        terminal.see("assistant: after")
        assert "assistant: before" in terminal.out
        assert terminal.leave() == 0
        assert service.stop() == 0
    assert "Traceback" not in terminal.err
