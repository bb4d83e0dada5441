"""`/ws/images`: requests for images over one websocket, and their steps and pictures back."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

from aiohttp import WSMessage, WSMsgType, web

from service.admission import admit_work
from service.collect import follow
from service.dialects.dialect import Dialect, Out, encode
from service.dialects.images import BinaryImageDialect, ImageDialect
from service.errors import ApiError, BadParams, Conflict, error_object
from service.events import pictures_of
from service.images import wish_images
from service.keys import DISPATCHER
from service.models import IMAGE, find_model
from service.params.images import CancelImages, GenerateImages, ImageMessage
from service.params.read import parse_json
from service.streams import Stream


class ImageTalk:
    """One socket's conversation. One request runs at a time; what is wrong is told, and the talk goes on."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._request = request
        self._socket = socket
        self._stream: Stream | None = None
        self._showing: asyncio.Task[None] | None = None
        # A picture's frame comes directly after the object that tells of it.
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Take messages until the socket closes; what runs then is left, which cancels it."""
        try:
            async for message in self._socket:
                await self._answer(message)
        finally:
            await self._leave()

    async def _answer(self, message: WSMessage) -> None:
        request_id = None
        try:
            wishes = _read(message)
            request_id = wishes.request_id
            self._take(wishes)
        except ApiError as error:
            out = Out(encode({"error": error_object(error)}), "error")
            await self._send(_labelled(out, request_id))

    def _take(self, wishes: GenerateImages | CancelImages) -> None:
        """Raises ApiError for what cannot be done."""
        if isinstance(wishes, GenerateImages):
            self._start(wishes)
        elif self._is_busy and self._stream:
            self._stream.end("cancelled")
        else:
            raise Conflict("nothing runs on this socket", code="not_running")

    @property
    def _is_busy(self) -> bool:
        return self._showing is not None and not self._showing.done()

    def _start(self, wishes: GenerateImages) -> None:
        if self._is_busy:
            raise Conflict("this socket is busy: cancel what runs, or wait for its end", code="busy")
        request = self._request
        model = find_model(request, wishes.model, IMAGE)
        work = wish_images(request, model, wishes)
        job = admit_work(request, model, work)
        dialect = ImageDialect(job.stream_id, model, work)
        self._stream = request.app[DISPATCHER].submit(job, dialect)
        # Who resumes the stream elsewhere has the pictures among the words.
        words = BinaryImageDialect(job.stream_id, model, work) if wishes.binary else dialect
        self._showing = asyncio.create_task(self._show(self._stream, words, wishes))

    async def _show(self, stream: Stream, words: Dialect, wishes: GenerateImages) -> None:
        """Send the stream's events. A socket that does not take them holds the stream up."""
        with suppress(ConnectionError):
            async with aclosing(follow(stream)) as events:
                async for event in events:
                    frames = pictures_of(event) if wishes.binary else []
                    for out in words.render(event):
                        await self._send(_labelled(out, wishes.request_id), frames)

    async def _send(self, text: bytes, frames: Sequence[bytes] = ()) -> None:
        async with self._sending:
            await self._socket.send_str(text.decode())
            for frame in frames:
                await self._socket.send_bytes(frame)

    async def _leave(self) -> None:
        if self._showing:
            self._showing.cancel()
            with suppress(asyncio.CancelledError):
                await self._showing


def _read(message: WSMessage) -> GenerateImages | CancelImages:
    if message.type is not WSMsgType.TEXT:
        raise BadParams("expected a text frame, not a binary one")
    wishes: GenerateImages | CancelImages = parse_json(message.data, ImageMessage)
    return wishes


def _labelled(out: Out, request_id: str | None) -> bytes:
    """The object, told apart as an error, and as the answer to a request."""
    labels = {"type": "error"} if out.event == "error" else {}
    if request_id is not None:
        labels["request_id"] = request_id
    return encode(labels)[:-1] + b"," + out.body[1:] if labels else out.body
