"""Connections that cannot be held open for nothing, and a server that answers before it ends."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.https import Pair
from app.server.door import Door
from app.server.settings import ServerSettings


class _ReadersOnly:
    """Mixin of protocols: cuts off a client that does not read what it asked for."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    settings = ServerSettings()
    _cut: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client lags behind: it has some seconds to catch up."""
        super().pause_writing()  # type: ignore[misc]
        self._cut = self.loop.call_later(self.settings.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It caught up."""
        self._stop_clock()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_clock()
        super().connection_lost(exc)  # type: ignore[misc]

    def _stop_clock(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


class Socket(_ReadersOnly, WebSocketsSansIOProtocol):
    """WebSockets."""


class Connection(_ReadersOnly, H11Protocol):
    """HTTP, with a time for heads to arrive in and a number of connections."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, where there is room."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            transport.abort()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Stop the clock once a head is complete."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next head."""
        self._expect_head()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand over to ``Socket``."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """As for WebSockets; the flow control of HTTP is an object of its own."""
        self.flow.pause_writing()
        self._cut = self.loop.call_later(self.settings.send_s, self.transport.abort)

    def resume_writing(self) -> None:
        """As for WebSockets."""
        self._stop_clock()
        self.flow.resume_writing()

    def _expect_head(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(self.settings.head_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class Server(uvicorn.Server):
    """Ends in two steps: first nobody is let in and those inside are answered, then it closes."""

    def __init__(self, config: uvicorn.Config, door: Door):
        """Serve an application through this door."""
        super().__init__(config)
        self._door = door
        self._draining: asyncio.Task | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM and SIGINT; the second one ends at once."""
        if self._door.guard.draining:
            self.should_exit = self.force_exit = True
            return
        if self._door.loop is None:  # not even started
            self.should_exit = True
            return
        self._door.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._door.drain()
        self._draining = asyncio.create_task(self._drained())

    async def _drained(self) -> None:
        """Until everything that was let in is answered; who comes meanwhile is told 503."""
        try:
            async with asyncio.timeout(self._door.settings.drain_s):
                while self._door.sockets or self.server_state.tasks:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        self.should_exit = True


def server_of(
    app: Any, host: str, port: int, log_level: str = "info", pair: Pair | None = None
) -> Server:
    """A server for an application of ``create_app``; with a certificate and its key for https."""
    cert, key = pair or (None, None)
    door: Door = app.state.door
    settings = door.settings

    def bound(kind: type) -> type:
        return type(kind.__name__, (kind,), {"settings": settings})

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=bound(Connection),
        ws=bound(Socket),
        loop="asyncio",
        ws_max_size=door.engine.limits.frame.max_bytes,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=16384,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=round(settings.drain_s),
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level=log_level,
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    return Server(config, door)
