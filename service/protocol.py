"""What aiohttp answers by itself, before there is a request for any handler: in the contract's form."""

from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from service.errors import ApiError, BadParams
from service.middlewares import SERVER_NAME, error_response, in_one_line, new_request_id


class Protocol(RequestHandler):
    """One connection whose errors are error objects too."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Let a handler that waits for the rest of a body know when there will be none.

        aiohttp queues the parser's error as the next request, which is never come to.
        """
        super().data_received(data)
        if self._messages and isinstance(broken := self._messages[-1][0], _ErrInfo):
            error = web.RequestPayloadError(broken.message)
            error.__cause__ = broken.exc
            if body := self._last_body():
                body.set_exception(error)

    def _last_body(self) -> StreamReader | None:
        """What the request before the error still waits for."""
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request:
            body = self._current_request.content
        else:
            return None
        return None if body.is_eof() else body

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer, and close the connection. Raises ConnectionError when an answer has begun."""
        super().handle_error(request, status, exc, message)
        response = error_response(_from_parser(status, message))
        # No signal is sent for these.
        response.headers["Server"] = SERVER_NAME
        response.headers["X-Request-Id"] = new_request_id()
        response.force_close()
        return response


class Server(web.Server):
    """Makes each connection's protocol."""

    def __call__(self) -> RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp has no setting for a protocol of one's own."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


def _from_parser(status: int, message: str | None) -> ApiError:
    if status >= 500 or not message:
        return ApiError("internal error", code="internal")
    return BadParams(f"malformed HTTP: {in_one_line(message)}", status=status, code="bad_request")
