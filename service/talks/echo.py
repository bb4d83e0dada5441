"""`/ws`: text in, `Echo: <text>` out; a connectivity check."""

from service.sockets.talk import Talk, text_of


class EchoTalk(Talk[str]):
    def read(self, message: str | bytes) -> str:
        return text_of(message)

    async def take(self, message: str) -> None:
        self.connection.send(f"Echo: {message}".encode())
