"""Clients of shared documents for tests: one of operations, with a copy of its own, and one of Yjs."""

import asyncio
from typing import Any, Self

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from pycrdt import Doc, Text

from service.documents.operations import Operation
from service.documents.yjs_wire import (
    Awareness,
    Message,
    Step1,
    Update,
    read_frame,
    step1_frame,
    step2_frame,
    update_frame,
)
from tests.service.documents.editor import Editor
from tests.websocket import TIMEOUT_S, receive

TEXT = "text"


class Party:
    """Opens websockets, and closes them all at the end."""

    def __init__(self, headers: dict[str, str] | None = None) -> None:
        self._headers = headers
        self._open: list[ClientWebSocketResponse] = []

    async def __aenter__(self) -> Self:
        self._session = ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        for ws in self._open:
            await ws.close()
        await self._session.close()

    async def ws_connect(self, url: str) -> ClientWebSocketResponse:
        self._open.append(await self._session.ws_connect(url))
        return self._open[-1]


class Writer:
    """Keeps what it hears in `heard`; what concerns the text goes to its `editor` at once."""

    state: dict[str, Any]
    editor: Editor

    def __init__(self, ws: ClientWebSocketResponse) -> None:
        self.ws = ws
        self.heard: list[dict[str, Any]] = []

    @classmethod
    async def join(cls, party: Party, url: str) -> Self:
        writer = cls(await party.ws_connect(url))
        writer.state = await receive(writer.ws)
        assert writer.state["type"] == "document_state"
        writer.editor = Editor(writer.state["content"], writer.state["version"])
        return writer

    @property
    def id(self) -> str:
        own: str = self.state["session_id"]
        return own

    @property
    def text(self) -> str:
        return self.editor.text

    async def send(self, **message: Any) -> None:
        await self.ws.send_json(message)

    async def change(self, operation: Operation) -> None:
        self.editor.change(operation)
        await self.flush()

    async def flush(self) -> None:
        while self.editor.outbox:
            operation, version = self.editor.outbox.pop(0)
            body = {"type": "operation", "operation": msgspec.to_builtins(operation), "version": version}
            await self.ws.send_json(body)

    async def hear(self) -> dict[str, Any]:
        """Take the next message in."""
        told = await receive(self.ws)
        self.heard.append(told)
        if told["type"] == "ack":
            self.editor.on_ack(told["version"])
        elif told["type"] == "operation":
            self.editor.on_operation(msgspec.convert(told["operation"], Operation), told["version"])
        elif told["type"] == "document_state":
            self.editor.on_state(told["content"], told["version"])
        await self.flush()
        return told

    async def hear_until(self, *kinds: str) -> dict[str, Any]:
        while (told := await self.hear())["type"] not in kinds:
            pass
        return told

    async def catch_up(self, version: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.editor.version < version or self.editor.is_pending:
                await self.hear()


class YjsClient:
    """Speaks the sync protocol; awareness that it hears is kept."""

    def __init__(self, ws: ClientWebSocketResponse, doc: Doc[Text]) -> None:
        self.ws = ws
        self.doc = doc
        self.shared = doc.get(TEXT, type=Text)
        self.awareness: list[bytes] = []
        self.num_answers = 0

    @classmethod
    async def join(cls, party: Party, url: str, doc: Doc[Text] | None = None) -> Self:
        """Connected and in sync."""
        client = cls(await party.ws_connect(url), Doc() if doc is None else doc)
        await client.ws.send_bytes(step1_frame(client.doc.get_state()))
        while not client.num_answers:
            await client.hear()
        return client

    @property
    def text(self) -> str:
        return str(self.shared)

    async def insert(self, position: int, text: str) -> None:
        """Position in code points."""
        known = self.doc.get_state()
        self.shared.insert(len(self.text[:position].encode()), text)
        await self.ws.send_bytes(update_frame(self.doc.get_update(known)))

    async def delete(self, start: int, length: int) -> None:
        known = self.doc.get_state()
        first, last = (len(self.text[:place].encode()) for place in (start, start + length))
        del self.shared[first:last]
        await self.ws.send_bytes(update_frame(self.doc.get_update(known)))

    async def hear(self) -> Message | None:
        frame = await self.ws.receive(TIMEOUT_S)
        assert frame.type is WSMsgType.BINARY, frame
        message = read_frame(frame.data)
        match message:
            case Step1(vector):
                await self.ws.send_bytes(step2_frame(self.doc.get_update(vector)))
            case Update(update, is_answer):
                self.doc.apply_update(update)
                self.num_answers += is_answer
            case Awareness(update):
                self.awareness.append(update)
        return message

    async def hear_until_text(self, text: str) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.text != text:
                await self.hear()
