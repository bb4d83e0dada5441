#!/usr/bin/env python3
"""Chat in a terminal: scripts/chat.py. A session outlives its connections: --session ID goes on with one."""

import argparse
import asyncio
import sys
import threading
from contextlib import suppress
from typing import Any

# First: it finds the Python that has the packages.
from terminal import Complaint, Talk, explain, parser, run

# isort: split
import aiohttp

COMMANDS = "/history shows what was said, /cancel ends an answer, /quit or Ctrl-D leaves"
# Closed for good; after any other code it is worth trying again.
REFUSED_CODE = 1008
TRY_AGAIN = (429, 502, 503, 504)
FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 5.0
WISHES = ("model", "system", "temperature", "max_tokens")


class Screen:
    """What stands on the terminal: answers as they grow, and notes between them."""

    def __init__(self) -> None:
        self._stream_id = ""
        self._num_shown = 0
        self._is_in_line = False

    def grow(self, stream_id: str, content: str) -> None:
        """Show what is new of an answer: after a reconnect it is told from its beginning."""
        if stream_id != self._stream_id:
            self._stream_id, self._num_shown = stream_id, 0
        print(content[self._num_shown :], end="", flush=True)
        self._num_shown = max(self._num_shown, len(content))
        self._is_in_line = True

    def line(self, text: str) -> None:
        self.end_line()
        print(text, flush=True)

    def note(self, text: str) -> None:
        """What is no part of the conversation."""
        self.end_line()
        print(f"[{text}]", file=sys.stderr, flush=True)

    def end_line(self) -> None:
        if self._is_in_line:
            print(flush=True)
        self._is_in_line = False


class Chat:
    """One session, over as many connections as it takes."""

    def __init__(self, session: aiohttp.ClientSession, flags: argparse.Namespace) -> None:
        self.session_id: str | None = flags.session
        self.screen = Screen()
        self.num_unanswered = 0
        self.has_input = True
        self._session = session
        self._wishes = {name: getattr(flags, name) for name in WISHES if getattr(flags, name) is not None}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._is_connected = asyncio.Event()

    async def listen(self) -> None:
        """Show what the session says, until the person leaves. Raises Complaint when it is refused."""
        while self.has_input or self.num_unanswered:
            self._socket = await self._connect()
            self._is_connected.set()
            async for message in self._socket:
                self._show(message.json())
                if not (self.has_input or self.num_unanswered):
                    await self._socket.close()
            self._is_connected.clear()
            if self._socket.close_code == REFUSED_CODE:
                raise Complaint("the service has closed the connection for good")
            if self.has_input or self.num_unanswered:
                self.screen.note("connection lost; trying again")

    async def ask(self, text: str) -> None:
        self.num_unanswered += 1
        await self.send({"type": "user_message", "message": text, **self._wishes})
        # The session keeps it.
        self._wishes.pop("system", None)

    async def send(self, message: dict[str, Any]) -> None:
        """Now, or once there is a connection again."""
        await self._is_connected.wait()
        assert self._socket
        await self._socket.send_json(message)

    async def leave(self) -> None:
        """Let `listen` end, now or once all is answered."""
        self.has_input = False
        if self._socket and not self.num_unanswered:
            await self._socket.close()

    async def show_history(self) -> None:
        async with self._session.get(f"/chat/sessions/{self.session_id}") as answer:
            messages = (await answer.json()).get("messages", [])
        for message in messages:
            self.screen.line(f"{message['role']}: {message['content']}")
        if not messages:
            self.screen.note("nothing was said yet")

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        """Once connected it is not given up; the first time a refusal is final."""
        query = {"session_id": self.session_id} if self.session_id else {}
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._session.ws_connect("/chat", params=query)
            except aiohttp.WSServerHandshakeError as error:
                if self._socket is None or error.status not in TRY_AGAIN:
                    raise Complaint(f"the service refuses: {error.status} {error.message}") from error
            except aiohttp.ClientConnectionError:
                if self._socket is None:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)

    def _show(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "system":
                self._welcome(message)
            case "ai_message_partial":
                self.screen.grow(message["stream_id"], message["content"])
            case "ai_message_complete":
                self.screen.grow(message["stream_id"], message["content"])
                self._answered()
                if message["finish_reason"] != "stop":
                    self.screen.note(message["finish_reason"])
            case "error":
                self._answered()
                self.screen.note(explain(message["error"]))
            case "user_message":
                self.screen.note(f"{message['author']} asks: {message['message']}")

    def _welcome(self, message: dict[str, Any]) -> None:
        if self.session_id == message["session_id"] and self.num_unanswered:
            # What is still on its way is told again from its beginning; what has ended stands there.
            self.screen.note("connected again; /history shows what was said meanwhile")
            self.num_unanswered = 0
        self.session_id = message["session_id"]
        self.screen.note(f"session {self.session_id}, {message['num_messages']} messages so far")

    def _answered(self) -> None:
        self.screen.end_line()
        self.num_unanswered = max(0, self.num_unanswered - 1)


class Keyboard:
    """The lines that the person types; None at the end of input."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        # A daemon: a terminal that waits for a line cannot be called back.
        threading.Thread(target=self._read, daemon=True).start()

    async def line(self) -> str | None:
        return await self._lines.get()

    def _read(self) -> None:
        for line in sys.stdin:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line.strip())
        self._loop.call_soon_threadsafe(self._lines.put_nowait, None)


async def obey(chat: Chat) -> None:
    """Do what the person types, until he leaves."""
    keyboard = Keyboard()
    while (line := await keyboard.line()) is not None and line != "/quit":
        if line == "/history":
            await chat.show_history()
        elif line == "/cancel":
            await chat.send({"type": "cancel"})
        elif line.startswith("/"):
            chat.screen.note(COMMANDS)
        elif line:
            await chat.ask(line)
    if line == "/quit":
        chat.num_unanswered = 0
    await chat.leave()


def main() -> int:
    flags = read_flags()

    async def talk(service: Talk) -> str:
        chat = Chat(service.session, flags)
        chat.screen.note(COMMANDS)
        typing = asyncio.create_task(obey(chat))
        try:
            await chat.listen()
        finally:
            typing.cancel()
            with suppress(asyncio.CancelledError):
                await typing
        return f"to go on: --session {chat.session_id}"

    return run(flags, talk)


def read_flags() -> argparse.Namespace:
    flags = parser("Chat with the service.")
    flags.add_argument("--session", help="go on with this session (a new one when not given)")
    flags.add_argument("--system", help="the session's system prompt from now on")
    flags.add_argument("--temperature", type=float, help="0 for always the likeliest")
    flags.add_argument("--max-tokens", type=int)
    return flags.parse_args()


if __name__ == "__main__":
    sys.exit(main())
