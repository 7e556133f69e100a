"""A bound on what one request may send, whatever it says about itself."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
_TOO_LARGE = "the request is too large; send smaller pictures"


class TooLarge(Exception):
    """The body went over the limit while it was being read."""


class BodyLimit:
    """ASGI middleware: answers 413 to bodies over ``limit`` bytes, without keeping them."""

    def __init__(self, app: App, limit: int):
        """Wrap an application."""
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self.limit:
            await refuse(send, 413, _TOO_LARGE)
            return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        got, started = 0, False

        async def counting() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self.limit:
                raise TooLarge
            return message

        async def watching(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, counting, watching)
        except TooLarge:
            if not started:
                await refuse(send, 413, _TOO_LARGE)


async def refuse(send: Send, status: int, detail: str) -> None:
    """Answer without reading on."""
    text = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers += [(b"retry-after", b"60")] if status == 503 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
