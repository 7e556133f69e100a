"""A bound on what Gradio keeps of uploads."""

import os
from pathlib import Path

from app.body_limit import App, Receive, Scope, Send, refuse

ROOM = 256 * 2**20  # bytes of all uploads that are kept at a time


class UploadRoom:
    """ASGI middleware: refuses uploads while Gradio's folder is full; it empties itself by age."""

    def __init__(self, app: App, room: int = ROOM):
        """Wrap an application whose Gradio keeps its files in ``GRADIO_TEMP_DIR``."""
        self.app, self.room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"].endswith("/upload") and self._full():
            await refuse(send, 503, "too many photos are kept here; try again in a minute")
            return
        await self.app(scope, receive, send)

    def _full(self) -> bool:
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > self.room
