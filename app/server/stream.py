"""``WS /v1/stream``: frames in, dressed frames out; the protocol is in docs/SERVING.md."""

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any, NamedTuple

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from app.engine import Framed, Seen
from app.engine.codec import Encoding
from app.layers import DRESSED, VIEWS
from app.server.door import Door, door_of
from app.server.problems import Problem, problem_of
from dmvton.errors import DmvtonError

router = APIRouter()
PROTOCOL = "dmvton"  # offered by clients that send their key as a second subprotocol
_QUALITY = 80  # of frames, unless asked for another
_MAX_TEXT = 4096  # characters of a message in text
_POLICY, _RESTART = 1008, 1012  # codes of RFC 6455
_log = logging.getLogger("dmvton.server")


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """Serve one camera."""
    door = door_of(socket)
    try:
        door.guard.check_origin(socket.headers)
        door.guard.admit(socket.scope)
        place = door.engine.open()
    except (Problem, DmvtonError) as error:
        problem = error if isinstance(error, Problem) else problem_of(error)
        door.metrics.refused.labels(problem.name).inc()
        await socket.send_denial_response(problem.response())
        return
    door.sockets += 1
    try:
        offered = PROTOCOL in socket.scope["subprotocols"]
        await socket.accept(PROTOCOL if offered else None)
        await _Conversation(door, socket, place).run()
    except (WebSocketDisconnect, TimeoutError):
        pass  # the client left, or does not read: nothing more can be said to it
    finally:
        door.sockets -= 1
        door.engine.close(place)


class _Frame(NamedTuple):
    number: int
    data: bytes
    arrived: float


class _Conversation:
    """One open socket: a reader that keeps the newest frame, and a worker that answers."""

    def __init__(self, door: Door, socket: WebSocket, place: Any):
        self._door, self._socket, self._place = door, socket, place
        self._encoding = door.encoding({}, Encoding(quality=_QUALITY))
        self._garment, self._view = "", DRESSED
        self._latest: _Frame | None = None
        self._news = asyncio.Event()
        self._ended = False
        self._frames = self._dropped = self._bad = 0
        self._sending = asyncio.Lock()  # a frame's text and picture follow one another

    async def run(self) -> None:
        """Talk until either side ends it."""
        reader = asyncio.create_task(self._read())
        worker = asyncio.create_task(self._work())
        closing = asyncio.create_task(self._door.closing.wait())
        tasks = {reader, worker, closing}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if closing.done() and not reader.done():
                reader.cancel()
                self._end()
                await worker  # what was taken in is answered
                await self._close(_RESTART, "the server is shutting down")
            elif reader.done() and (goodbye := reader.result()) is not None:
                await self._close(*goodbye)
            elif worker.done():
                worker.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> tuple[int, str] | None:
        """Take messages; returns how to say goodbye, or None where the client left."""
        idle = self._door.settings.socket_idle_s
        while True:
            try:
                async with asyncio.timeout(idle):
                    message = await self._socket.receive()
            except TimeoutError:
                return _POLICY, f"nothing came for {idle:g} s"
            if message["type"] == "websocket.disconnect":
                return None
            if message.get("bytes") is not None:
                self._take(message["bytes"])
            else:
                await self._set(message.get("text") or "")
            if self._bad >= self._door.settings.bad_frames:
                return _POLICY, f"{self._bad} unusable messages in a row"

    def _take(self, data: bytes) -> None:
        """Keep a frame; one that still waits is dropped for it."""
        if self._latest is not None:
            self._dropped += 1
            self._door.metrics.frames.labels("dropped").inc()
        self._latest = _Frame(self._frames, data, time.monotonic())
        self._frames += 1
        self._news.set()

    async def _set(self, text: str) -> None:
        """Change what is worn, what is shown and how frames are written."""
        try:
            fields = _fields(text)
            encoding = self._door.encoding(fields, self._encoding)
            view = fields.get("view", self._view)
            if view not in VIEWS:
                detail = f"got view {view!r:.40}; use one of {', '.join(VIEWS)}"
                raise Problem(422, "unusable-option", detail)
            if "garment" in fields:
                self._place.live.garment = self._door.engine.garments.get(fields["garment"])
                self._garment = fields["garment"]
        except (Problem, DmvtonError) as error:
            await self._refuse(None, error)
            return
        self._encoding, self._view = encoding, view
        answer = {"type": "set", "garment": self._garment, "view": view, "format": encoding.format}
        await self._say({**answer, "quality": encoding.quality, "label": encoding.label})

    async def _work(self) -> None:
        """Look at the newest frame while the last one is drawn and sent."""
        last: asyncio.Task | None = None
        try:
            while (frame := await self._next()) is not None:
                seen = await self._look(frame)
                if last is not None:
                    await last
                last = asyncio.create_task(self._answer(frame, seen, self._garment))
            if last is not None:
                await last
        finally:
            if last is not None:
                last.cancel()

    async def _next(self) -> _Frame | None:
        while self._latest is None:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        frame, self._latest = self._latest, None
        return frame

    def _end(self) -> None:
        self._ended = True
        self._news.set()

    async def _look(self, frame: _Frame) -> Seen | DmvtonError | Problem:
        if self._place.live.garment is None:
            return Problem(409, "no-garment-set", 'first send {"type": "set", "garment": ID}')
        try:
            looked = self._door.engine.look(self._place, frame.data, frame.arrived)
            return await asyncio.wrap_future(looked)
        except DmvtonError as error:
            return error

    async def _answer(
        self, frame: _Frame, seen: Seen | DmvtonError | Problem, garment: str
    ) -> None:
        """Send a frame's picture, or why there is none."""
        if not isinstance(seen, Seen):
            await self._refuse(frame.number, seen)
            return
        drawn = self._door.engine.draw(self._place, seen, self._encoding, self._view)
        framed = await asyncio.wrap_future(drawn)
        self._bad = 0
        outcome = "dressed" if framed.person else "nobody"
        self._door.metrics.frames.labels(outcome).inc()
        self._door.metrics.age.observe(framed.age_s)
        await self._say(self._described(frame, framed, garment), framed.data)

    def _described(self, frame: _Frame, framed: Framed, garment: str) -> dict[str, Any]:
        return {
            "type": "frame",
            "number": frame.number,
            "dropped": self._dropped,
            "person": framed.person,
            "garment": garment,
            "width": framed.width,
            "height": framed.height,
            "age_ms": round(framed.age_s * 1e3, 1),
            "stages_ms": {name: round(s * 1e3, 1) for name, s in framed.stages_s.items()},
        }

    async def _refuse(self, number: int | None, error: DmvtonError | Problem) -> None:
        problem = error if isinstance(error, Problem) else problem_of(error)
        self._bad += 1
        if number is not None:
            self._door.metrics.frames.labels("refused").inc()
        await self._say({"type": "error", "number": number, "problem": problem.body()})

    async def _say(self, message: dict[str, Any], picture: bytes | None = None) -> None:
        async with self._sending, asyncio.timeout(self._door.settings.send_s):
            await self._socket.send_text(json.dumps(message))
            if picture is not None:
                await self._socket.send_bytes(picture)

    async def _close(self, code: int, reason: str) -> None:
        with suppress(RuntimeError):  # the client was faster
            async with asyncio.timeout(self._door.settings.send_s):
                await self._socket.close(code, reason)


def _fields(text: str) -> dict[str, str]:
    """The fields of a ``set`` message, as strings.

    Raises:
        Problem: it is not one.
    """
    expected = 'expected a picture, or {"type": "set"} with garment, view, format, quality or label'
    try:
        message = json.loads(text) if len(text) <= _MAX_TEXT else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or message.pop("type", None) != "set":
        raise Problem(400, "bad-message", expected)
    if not set(message) <= {"garment", "view", "format", "quality", "label"}:
        raise Problem(400, "bad-message", expected)
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in message.items()
    }
