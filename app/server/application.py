"""The application: routes, checks and metrics around one engine."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import prometheus_client
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware

import dmvton
from app.engine import LIMITS, Engine, EngineLimits
from app.server import describe, photos, problems, stream, warmup
from app.server.bodies import Budget
from app.server.door import Door, door_of
from app.server.guard import Guard
from app.server.metrics import Metrics
from app.server.problems import Problem
from app.server.settings import ServerSettings
from dmvton.errors import DmvtonError
from dmvton.tryon import TryOn

_log = logging.getLogger("dmvton.server")
_ABOUT = (
    "Virtual try-on. Photos are held in memory while they are worked on, and never written down. "
    "Live pictures go over the WebSocket /v1/stream, which docs/SERVING.md describes."
)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'",
}
_STATUS = ("/healthz", "/readyz", "/metrics")
_status = APIRouter()


def create_app(
    tryon: TryOn,
    settings: ServerSettings | None = None,
    limits: EngineLimits = LIMITS,
    workers: int | None = None,
) -> FastAPI:
    """The application over a loaded network.

    Args:
        tryon: loaded with one thread a worker.
        settings: who may use it and what a request may cost.
        limits: what clients may cost the engine.
        workers: threads of the engine; None is the cores that this process may use.
    """
    settings = settings or ServerSettings()
    metrics = Metrics()
    engine = Engine(tryon, limits, workers, metrics.observe)
    metrics.watch(engine)
    app = FastAPI(
        title="dmvton",
        version=dmvton.__version__,
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # they load their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.door = Door(engine, settings, metrics, Guard(settings), Budget(settings.uploads))
    for router in (_status, photos.router, stream.router):
        app.include_router(router)
    problems.install(app)
    app.add_middleware(_Gate, door=app.state.door)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
            expose_headers=["Retry-After", "Server-Timing", "X-Garment-Id"],
        )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    door: Door = app.state.door
    door.loop = asyncio.get_running_loop()
    warming = asyncio.create_task(_warm_up(door))
    yield
    door.drain()
    await warming
    await asyncio.to_thread(door.engine.shutdown)


async def _warm_up(door: Door) -> None:
    try:
        worst = await asyncio.to_thread(warmup.parity, door.engine.tryon.network)
    except DmvtonError as error:
        door.unready = str(error)
        _log.error("not ready: %s", error)
        return
    if not door.guard.draining:
        door.ready, door.unready = True, ""
    _log.info("ready: the network agrees with its file to %.1e", worst)


@_status.get("/healthz", operation_id="health")
async def health() -> dict[str, str]:
    """Whether the process is alive."""
    return {"status": "ok"}


@_status.get("/readyz", operation_id="ready", responses=describe.problems(503))
async def ready(request: Request) -> JSONResponse:
    """Whether requests should be sent here."""
    door = door_of(request)
    if not door.ready:
        raise Problem(503, "not-ready", door.unready, 1.0)
    network = door.engine.tryon.network
    return JSONResponse({"status": "ready", "network": network.name, "version": dmvton.__version__})


@_status.get("/metrics", operation_id="metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    text = prometheus_client.generate_latest(door_of(request).metrics.registry)
    return Response(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Gate:
    """Checks who comes in before a byte of the body is read, and counts who goes out."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], door: Door):
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        WebSockets are checked by their route, which can refuse them; what a page mounted beside the
        server serves is its own affair.
        """
        if scope["type"] != "http" or not scope["path"].startswith(("/v1/", *_STATUS)):
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            await self._admitted(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            spent = time.monotonic() - started
            self._door.metrics.request.labels(route, str(status)).observe(spent)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"].startswith("/v1/"):
                scope.setdefault("state", {})["owner"] = self._door.guard.admit(scope)
            elif scope["path"] == "/metrics":
                self._door.guard.owner(scope)
        except Problem as problem:
            self._door.metrics.refused.labels(problem.name).inc()
            await problem.response()(scope, receive, send)
            return
        await self._app(scope, receive, send)
