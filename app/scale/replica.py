"""What runs on the cluster: replicas that dress photos, and the garment photos that they need."""

import asyncio
import json
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from ray import serve
from ray.serve.handle import DeploymentHandle

from app.engine import Dressed, Engine, EngineLimits
from app.engine.codec import MEDIA_TYPES, Encoding, decode
from app.engine.garments import UnknownGarmentError
from app.scale.config import ScaleConfig
from app.server.problems import MEDIA_TYPE, problem_of
from dmvton.errors import DmvtonError
from dmvton.garment import Garment
from dmvton.garment import encode as encode_garment
from dmvton.tryon import TryOn


class Answer(NamedTuple):
    """What goes back to a client."""

    status: int
    body: bytes
    media_type: str
    headers: dict[str, str]


class _Job(NamedTuple):
    person: bytes
    garment: Garment
    encoding: Encoding


class GarmentPhotos:
    """Garment photos by id, for the whole cluster; the one not used for longest goes first."""

    def __init__(self, config: ScaleConfig):
        """Start empty."""
        self._config = config
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, key: str, photo: bytes) -> None:
        """Keep a photo."""
        with self._lock:
            self._bytes += len(photo) - len(self._kept.pop(key, b""))
            self._kept[key] = photo
            while len(self._kept) > self._config.photos or self._bytes > self._config.photo_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])

    def get(self, key: str) -> bytes | None:
        """The photo of an id, or None where it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def drop(self, key: str) -> None:
        """Forget a photo that shows no garment."""
        with self._lock:
            self._bytes -= len(self._kept.pop(key, b""))


class Dresser:
    """One replica: an engine with one worker, and the features of the garments that come its way.

    The garment's id travels as Ray Serve's multiplexed model id: requests for a garment go to a
    replica that has its features, as long as one of those has room.
    """

    def __init__(self, config: ScaleConfig, photos: DeploymentHandle):
        """Load the network."""
        import cv2

        cv2.setNumThreads(1)
        tryon = TryOn.load(config.weights or None, threads=1)
        limits = EngineLimits(garments=config.garments, photos_waiting=config.ongoing)
        self._engine, self._photos = Engine(tryon, limits, workers=1), photos

        # Functions, as Ray Serve wraps no bound methods, and the bounds are known only here.
        async def features(key: str) -> Garment:
            return await self._make_features(key)

        async def together(jobs: list[_Job]) -> list[Dressed | DmvtonError]:
            return await self._dress_all(jobs)

        keep = serve.multiplexed(max_num_models_per_replica=config.garments)
        batch = serve.batch(max_batch_size=config.batch, batch_wait_timeout_s=config.batch_wait_s)
        self._features, self._together = keep(features), batch(together)

    async def prepare(self) -> Answer:
        """Make the features of the garment that the request is about."""
        try:
            garment = await self._features(serve.get_multiplexed_model_id())
        except DmvtonError as error:
            return _refusal(error)
        height, width = garment.photo.image.shape[:2]
        said = {"id": serve.get_multiplexed_model_id(), "width": width, "height": height}
        return Answer(201, json.dumps(said).encode(), "application/json", self._signed({}))

    async def dress(self, person: bytes, encoding: Encoding) -> Answer:
        """Dress the person in a photo in the garment that the request is about."""
        key = serve.get_multiplexed_model_id()
        try:
            garment = await self._features(key)
            dressed = await self._together(_Job(person, garment, encoding))
        except DmvtonError as error:
            return _refusal(error)
        if isinstance(dressed, DmvtonError):
            return _refusal(dressed)
        headers = self._signed({"X-Garment-Id": key})
        return Answer(200, dressed.data, MEDIA_TYPES[encoding.format], headers)

    async def _make_features(self, key: str) -> Garment:
        photo = await self._photos.get.remote(key)
        if photo is None:
            raise UnknownGarmentError(f"garment {key!r:.60} is not kept; send its photo (again)")
        return await asyncio.to_thread(self._encoded, photo)

    def _encoded(self, photo: bytes) -> Garment:
        limits = self._engine.limits
        picture = decode(photo, limits.photo, limits.garment_side)
        return encode_garment(self._engine.tryon.network, picture)

    async def _dress_all(self, jobs: list[_Job]) -> list[Dressed | DmvtonError]:
        """What is done of each; one that cannot be done does not spoil the others."""
        waiting = [asyncio.wrap_future(self._engine.photo(*job)) for job in jobs]
        done = await asyncio.gather(*waiting, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException) and not isinstance(result, DmvtonError):
                raise result
        return done  # type: ignore[return-value]

    def _signed(self, headers: dict[str, str]) -> dict[str, str]:
        return {**headers, "X-Replica": serve.get_replica_context().replica_tag}


def _refusal(error: DmvtonError) -> Answer:
    problem: Any = problem_of(error)
    body = json.dumps(problem.body()).encode()
    return Answer(problem.status, body, MEDIA_TYPE, problem.headers)
