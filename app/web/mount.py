"""The built on-device page as a part of another application, such as the demo."""

from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles

from app.body_limit import Receive, Scope, Send
from app.web.build import RECORD
from app.web.serve import HEADERS
from dmvton.errors import UsageError


class DevicePage:
    """ASGI application: the files of one build, with the headers of ``app.web.serve``."""

    def __init__(self, folder: Path):
        """Serve a folder.

        Raises:
            UsageError: no page was built there.
        """
        if not (folder / RECORD).is_file():
            raise UsageError(
                f"{folder}: no built page; make it with: python -m app.web.build --out {folder}"
            )
        self._files = StaticFiles(directory=folder, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._files(scope, receive, sending)
