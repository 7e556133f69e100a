"""The application: ``serve run app.scale.application:build most=8``.

    HTTP ── entrance ──> replicas, by garment        photos go in, dressed ones come out
                             └── garment photos      from which any replica makes the features

The routes are those of ``dmvton serve`` for photos; streams hold a state and belong to one process.
"""

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from ray import serve
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from app.engine.codec import Encoding
from app.engine.garments import garment_id
from app.scale.config import ScaleConfig, config_of
from app.scale.replica import Answer, Dresser, GarmentPhotos
from app.server import problems
from app.server.bodies import Budget, received
from app.server.door import chosen_encoding
from app.server.guard import Guard
from app.server.photos import OPTIONS, PICTURES, fields_of, only
from app.server.problems import Problem
from app.server.settings import ServerSettings

_api = FastAPI(title="dmvton", openapi_url=None, docs_url=None, redoc_url=None)
problems.install(_api)


# Before the class: ``serve.ingress`` copies what its methods refer to as soon as it is reached.
async def _answer(response: DeploymentResponse) -> Response:
    """A replica's answer.

    Raises:
        Problem: too many requests wait for a replica.
    """
    try:
        answer: Answer = await response
    except BackPressureError as error:
        raise Problem(503, "busy", "all replicas are busy; try again in a moment", 1.0) from error
    return Response(answer.body, answer.status, answer.headers, answer.media_type)


@serve.ingress(_api)
class Entrance:
    """Reads requests, bounded as by ``dmvton serve``, and sends each to a replica."""

    def __init__(
        self, settings: ServerSettings, dresser: DeploymentHandle, photos: DeploymentHandle
    ):
        """Keep the handles."""
        self._settings, self._dresser, self._photos = settings, dresser, photos
        self._guard, self._budget = Guard(settings), Budget(settings.uploads)

    @_api.get("/healthz")
    async def health(self) -> JSONResponse:
        """Whether the entrance is alive."""
        return JSONResponse({"status": "ok"})

    @_api.post("/v1/garments")
    async def add_garment(self, request: Request) -> Response:
        """Take in a garment photo."""
        owner = self._guard.admit(request.scope)
        async with received(request, self._settings, self._budget) as body:
            fields = await asyncio.to_thread(fields_of, request, body, self._settings.max_parts)
            only(fields, ("garment",))
            return await self._kept(fields.get("garment", b""), owner)

    @_api.post("/v1/tryon")
    async def try_on(self, request: Request) -> Response:
        """Dress the person in a photo."""
        owner = self._guard.admit(request.scope)
        async with received(request, self._settings, self._budget) as body:
            fields = await asyncio.to_thread(fields_of, request, body, self._settings.max_parts)
            only(fields, PICTURES + OPTIONS)
            if not fields.get("person"):
                raise Problem(400, "bad-request", "the field 'person' is missing: a photo")
            encoding = chosen_encoding(fields, Encoding(), self._settings)
            photo, key = fields.get("garment", b""), fields.get("garment_id", "")
            if bool(photo) == bool(key):
                raise Problem(400, "bad-request", "send either 'garment' or 'garment_id'")
            if photo:
                key = garment_id(photo, owner)
                kept = await self._kept(photo, owner)
                if kept.status_code != 201:
                    return kept
            dresser = self._dresser.options(multiplexed_model_id=key)
            return await _answer(dresser.dress.remote(fields["person"], encoding))

    async def _kept(self, photo: bytes, owner: str) -> Response:
        if not photo:
            raise Problem(400, "bad-request", "the field 'garment' is missing: a photo")
        key = garment_id(photo, owner)
        await self._photos.put.remote(key, photo)
        dresser = self._dresser.options(multiplexed_model_id=key)
        answer = await _answer(dresser.prepare.remote())
        if answer.status_code == 422:
            await self._photos.drop.remote(key)
        return answer


def build(options: dict[str, Any] | None = None) -> serve.Application:
    """The application, for ``serve run`` and ``ray.serve.run``.

    Args:
        options: fields of ``ScaleConfig`` by name, as words or as values.

    Raises:
        UsageError: there is no such field, or its value does not fit.
    """
    return application(config_of(options or {}))


def application(config: ScaleConfig, settings: ServerSettings | None = None) -> serve.Application:
    """The application of a configuration."""
    photos = serve.deployment(
        GarmentPhotos, num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0}
    ).bind(config)
    dresser = serve.deployment(
        Dresser,
        autoscaling_config={
            "min_replicas": config.least,
            "max_replicas": config.most,
            "target_ongoing_requests": config.target,
            "upscale_delay_s": 5,
            "downscale_delay_s": 120,
        },
        max_ongoing_requests=config.ongoing,
        max_queued_requests=config.queued,
        ray_actor_options={"num_cpus": config.cores},
        graceful_shutdown_timeout_s=30,
    ).bind(config, photos)
    # What is more than this at an entrance waits before its body is read.
    entrance = serve.deployment(
        Entrance,
        num_replicas=config.entrances,
        max_ongoing_requests=200,
        ray_actor_options={"num_cpus": 0},
    )
    return entrance.bind(settings or ServerSettings(), dresser, photos)
