"""A real Yjs client, `yjs` and `y-websocket` from npm, with clients of operations on one text."""

import asyncio
import json
import subprocess
from pathlib import Path
from random import Random
from shutil import copy
from typing import Any, Self

import pytest

from service.documents.operations import Delete, Insert
from tests.collaborators import Party, Writer
from tests.requirements import lack, need
from tests.service_process import ServiceProcess, free_port
from tests.websocket import TIMEOUT_S

SOURCE = Path(__file__).parent / "yjs_client"
INSTALL_TIMEOUT_S = 200
NUM_CHANGES = 50


@pytest.fixture(scope="session")
def client_folder(request: pytest.FixtureRequest) -> Path:
    """The client with its packages, installed once."""
    need("node")
    npm = need("npm")
    folder = request.config.cache.mkdir("yjs_client")
    is_new = not (folder / "node_modules" / "yjs").exists()
    for name in ("package.json", "editor.mjs"):
        source, target = SOURCE / name, folder / name
        is_new |= name == "package.json" and (
            not target.exists() or target.read_bytes() != source.read_bytes()
        )
        copy(source, target)
    if is_new:
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        if done.returncode:
            (folder / "package.json").unlink()
            lack(f"npm cannot install the Yjs client: {done.stderr[-300:]}")
    return folder


class NodeEditor:
    """The process; its commands are those of editor.mjs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def join(cls, folder: Path, url: str) -> Self:
        """Started and in sync."""
        pipe = asyncio.subprocess.PIPE
        url = url.replace("http", "ws", 1)
        command = (need("node"), "editor.mjs", url)
        editor = cls(await asyncio.create_subprocess_exec(*command, cwd=folder, stdin=pipe, stdout=pipe))
        await editor.ask("sync")
        return editor

    async def ask(self, what: str, **details: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT_S):
            return json.loads(await self._process.stdout.readline())

    async def wait_for_text(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while (found := await self.ask("text")) != text:
                assert isinstance(found, str)

    async def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        async with asyncio.timeout(TIMEOUT_S):
            assert await self._process.wait() == 0


async def write(writer: Writer, first: int) -> None:
    chance = Random(first)
    for number in range(NUM_CHANGES):
        await writer.change(Insert(chance.randrange(len(writer.text) + 1), chr(first + number)))
        while writer.editor.is_pending and chance.random() < 0.7:
            await writer.hear()


async def finish(writer: Writer, num_characters: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while len(writer.text) < num_characters or writer.editor.is_pending:
            await writer.hear()


async def test_a_yjs_editor_and_two_of_operations_agree(client_folder: Path, party: Party, url: str) -> None:
    """Most of its characters are two of JavaScript's units."""
    writers = [await Writer.join(party, url) for _ in range(2)]
    node = await NodeEditor.join(client_folder, url)
    own = "".join(chr(0x1F300 + number) for number in range(NUM_CHANGES))
    writing = (write(writer, 0x4E00 + 100 * n) for n, writer in enumerate(writers))
    await asyncio.gather(node.ask("write", characters=own), *writing)
    await asyncio.gather(*(finish(writer, 3 * NUM_CHANGES) for writer in writers))
    assert writers[0].text == writers[1].text
    assert len(set(writers[0].text)) == 3 * NUM_CHANGES
    assert set(own) < set(writers[0].text)
    await node.wait_for_text(writers[0].text)
    await node.close()


async def test_it_comes_back_with_what_it_did_alone(client_folder: Path, party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    await ann.change(Insert(0, "a😀b"))
    await ann.hear()
    node = await NodeEditor.join(client_folder, url)
    assert await node.ask("text") == "a😀b"
    await node.ask("disconnect")
    await node.ask("insert", index=3, characters="🦊")
    await ann.change(Delete(0, 1))
    await node.ask("connect")
    await node.wait_for_text("😀🦊b")
    async with asyncio.timeout(TIMEOUT_S):
        while ann.text != "😀🦊b":
            await ann.hear()
    await node.close()


async def test_a_refused_editor_is_told_and_stays_away(client_folder: Path, party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    first, second = [await NodeEditor.join(client_folder, url) for _ in range(2)]
    await first.ask("insert", index=0, characters="x" * 400_001)
    closed = await first.ask("closed")
    assert (closed["code"], closed["isConnecting"]) == (4422, False)
    assert "400001 > 400000" in closed["reason"]
    await second.ask("insert", index=0, characters="abc")
    async with asyncio.timeout(TIMEOUT_S):
        while ann.text != "abc":
            await ann.hear()
    await first.close()
    await second.close()


async def test_what_is_no_text_stays_among_yjs_editors(client_folder: Path, party: Party, url: str) -> None:
    ann = await Writer.join(party, url)
    first, second = [await NodeEditor.join(client_folder, url) for _ in range(2)]
    await first.ask("insert", index=0, characters="é😀b")
    await first.ask("format", index=0, length=3)
    await first.ask("embed", index=1)
    await first.ask("insert", index=5, characters="c")
    async with asyncio.timeout(TIMEOUT_S):
        while ann.text != "é😀bc":
            await ann.hear()
    await ann.change(Insert(3, "!"))
    for node in (first, second):
        await node.wait_for_text("é😀b!c")
    await first.ask("aware", state={"user": {"name": "Zoë"}})
    async with asyncio.timeout(TIMEOUT_S):
        while {"user": {"name": "Zoë"}} not in await second.ask("others"):
            pass
    await first.close()
    async with asyncio.timeout(TIMEOUT_S):
        while await second.ask("others"):
            pass
    await second.close()


async def test_it_reconnects_by_itself_to_a_service_that_starts_again(
    client_folder: Path, tmp_path: Path
) -> None:
    flags = ["--port", str(free_port()), "--model", "echo", "--set", "model_defaults.engine=echo"]
    flags += ["--set", "store.kind=sqlite"]
    flags += ["--set", f"store.path={tmp_path}/store.db"]
    with ServiceProcess(tmp_path, *flags) as service:
        url = f"{service.url}/collaborate/notes"
        node = await NodeEditor.join(client_folder, url)
        async with Party() as party:
            ann = await Writer.join(party, url)
            await ann.change(Insert(0, "one "))
            await node.wait_for_text("one ")
            await node.ask("insert", index=4, characters="two ")
            await ann.hear_until("operation")
        assert await asyncio.to_thread(service.stop) == 0
    await node.ask("insert", index=8, characters="three")
    with ServiceProcess(tmp_path, *flags) as service:
        await node.ask("sync")
        async with Party() as party:
            ann = await Writer.join(party, url)
            async with asyncio.timeout(TIMEOUT_S):
                while ann.text != "one two three":
                    await ann.hear()
            await ann.change(Delete(0, 4))
            await node.wait_for_text("two three")
        await node.close()
        await asyncio.to_thread(service.check_serves)
        assert await asyncio.to_thread(service.stop) == 0
