"""`/ws/images`: requests for images over one websocket, and their steps and pictures back."""

from functools import partial
from typing import Any

from service.admission import admit_work
from service.dialects.dialect import Dialect, labelled
from service.dialects.images import BinaryImageDialect, ImageDialect
from service.events import StreamEvent, pictures_of
from service.images import wish_images
from service.keys import DISPATCHER
from service.models import IMAGE, find_model
from service.params.images import CancelImages, GenerateImages, ImageMessage
from service.sockets.talk import AnsweringTalk


class ImageTalk(AnsweringTalk[GenerateImages | CancelImages]):
    """One request runs at a time."""

    kind = ImageMessage

    def label(self, message: GenerateImages | CancelImages) -> dict[str, Any]:
        return {} if message.request_id is None else {"request_id": message.request_id}

    async def take(self, message: GenerateImages | CancelImages) -> None:
        if isinstance(message, GenerateImages):
            self._start(message)
        else:
            self.answers.cancel()

    def _start(self, wishes: GenerateImages) -> None:
        self.answers.require_free()
        request = self.request
        model = find_model(request, wishes.model, IMAGE)
        work = wish_images(request, model, wishes)
        job = admit_work(request, model, work)
        dialect = ImageDialect(job.stream_id, model, work)
        stream = request.app[DISPATCHER].submit(job, dialect)
        # Who resumes the stream elsewhere has the pictures among the words.
        words = BinaryImageDialect(job.stream_id, model, work) if wishes.binary else dialect
        self.answers.start(stream, partial(self._show, words, wishes))

    def _show(self, words: Dialect, wishes: GenerateImages, _: int | None, event: StreamEvent) -> None:
        """A picture's frame comes directly after the object that tells of it."""
        pictures = pictures_of(event) if wishes.binary else []
        for out in words.render(event):
            self.connection.send(labelled(out, self.label(wishes)))
            for picture in pictures:
                self.connection.send(picture, is_binary=True)
