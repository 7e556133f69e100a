"""A client of ``dmvton serve`` in Python.

    from app.client import Client

    client = Client("http://127.0.0.1:8000")
    garment = client.garment("examples/garment_striped.jpg")
    picture = client.try_on("examples/person_astronaut.jpg", garment)  # bytes of a JPEG
    with client.stream(garment) as stream:
        shown = stream.dress(frame)

HTTP needs nothing beyond the base install; streams need the package ``websockets``.
"""

import http.client
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dmvton.errors import DmvtonError
from dmvton.image_io import read_picture

Photo = str | PathLike | bytes | np.ndarray  # a path, the bytes of a file, or (H, W, 3) uint8 RGB


class ServerError(DmvtonError):
    """The server gave a problem for an answer."""

    def __init__(self, problem: dict[str, Any], retry_s: float | None = None):
        """Keep what it said."""
        super().__init__(str(problem.get("detail") or problem.get("title") or problem))
        self.status = int(problem.get("status", 500))
        self.kind = str(problem.get("type", "")).rpartition(":")[2]
        self.retry_s = retry_s


class Shown(NamedTuple):
    """A frame of a stream, done."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    person: bool  # whether somebody was in view; if not, the picture is the frame as it was sent
    number: int  # of the frame, from 0
    age_ms: float  # from the frame's arrival at the server to its picture
    stages_ms: dict[str, float]


class Client:
    """Calls one server."""

    def __init__(self, url: str = "http://127.0.0.1:8000", key: str = "", timeout_s: float = 60.0):
        """Calls go to ``url``, with an API key where the server asks for one."""
        self._url, self._timeout = url.rstrip("/"), timeout_s
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def garment(self, photo: Photo) -> str:
        """Send a garment photo once; returns its id, for photos and streams to come.

        Raises:
            ServerError: the server refused it.
        """
        return json.loads(self._post("/v1/garments", {"garment": _file(photo)}))["id"]

    def try_on(self, person: Photo, garment: str, format: str = "jpeg", quality: int = 92) -> bytes:
        """Dress the person in a photo.

        Args:
            person: the photo.
            garment: an id from ``garment``.
            format: of the result: jpeg, png or webp.
            quality: of JPEG and WebP, 1 to 100.

        Returns:
            The bytes of the picture.

        Raises:
            ServerError: the server refused it.
        """
        options = {"garment_id": garment, "format": format, "quality": str(quality)}
        fields = {name: value.encode() for name, value in options.items()}
        return self._post("/v1/tryon", {"person": _file(person), **fields})

    def ready(self) -> bool:
        """Whether the server takes requests."""
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=self._timeout) as answer:
                return answer.status == 200
        except OSError:
            return False

    @contextmanager
    def stream(self, garment: str, **settings: Any) -> Iterator["ClientStream"]:
        """Open a stream that wears a garment.

        Args:
            garment: an id from ``garment``.
            settings: ``view``, ``format``, ``quality``, ``label``.

        Raises:
            ServerError: the server is full, or does not know the garment.
        """
        from websockets.exceptions import InvalidStatus
        from websockets.sync.client import connect

        url = f"ws{self._url.removeprefix('http')}/v1/stream"
        try:
            socket = connect(
                url, additional_headers=self._headers, open_timeout=self._timeout, max_size=2**26
            )
        except InvalidStatus as refused:
            answer = refused.response
            raise _error(bytes(answer.body or b""), answer.headers.get("Retry-After")) from refused
        with socket:
            stream = ClientStream(socket, self._timeout)
            stream.set(garment=garment, **settings)
            yield stream

    def _post(self, path: str, fields: dict[str, bytes]) -> bytes:
        boundary = secrets.token_hex(16)
        head = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n'
        parts = [
            head.format(boundary, name).encode() + data + b"\r\n" for name, data in fields.items()
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        headers = {**self._headers, "Content-Type": f"multipart/form-data; boundary={boundary}"}
        request = urllib.request.Request(self._url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise _error(error.read(), error.headers.get("Retry-After")) from error
        except (OSError, http.client.HTTPException) as error:
            detail = f"{self._url}: no answer ({error}); is the server running?"
            raise ServerError({"status": 503, "detail": detail, "type": "unreachable"}) from error


class ClientStream:
    """One open stream; for one thread at a time."""

    def __init__(self, socket: Any, timeout_s: float):
        """Talk over an open WebSocket."""
        self._socket, self._timeout = socket, timeout_s

    def set(self, **settings: Any) -> None:
        """Change ``garment``, ``view``, ``format``, ``quality`` or ``label``, between frames.

        Raises:
            ServerError: the server does not accept them.
        """
        self._socket.send(json.dumps({"type": "set", **settings}))
        self._hear("set")

    def dress(self, frame: Photo) -> Shown:
        """Send a frame and wait for its picture.

        Raises:
            ServerError: the frame cannot be used.
        """
        self._socket.send(_file(frame))
        said = self._hear("frame")
        picture = read_picture(self._socket.recv(self._timeout)).rgb
        return Shown(picture, said["person"], said["number"], said["age_ms"], said["stages_ms"])

    def _hear(self, kind: str) -> dict[str, Any]:
        said = json.loads(self._socket.recv(self._timeout))
        if said["type"] != kind:
            raise ServerError(said.get("problem", said))
        return said


def _file(photo: Photo) -> bytes:
    """The bytes of a picture file."""
    if isinstance(photo, bytes):
        return photo
    if isinstance(photo, np.ndarray):
        file = BytesIO()
        Image.fromarray(photo).save(file, "JPEG", quality=90)
        return file.getvalue()
    return Path(photo).read_bytes()


def _error(body: bytes, retry: str | None) -> ServerError:
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {"detail": body[:200].decode("utf-8", "replace")}
    return ServerError(problem, float(retry) if retry and retry.isdigit() else None)
