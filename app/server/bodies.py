"""Request bodies, kept in memory only and bounded in bytes, parts and time."""

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from app.server.problems import Problem
from app.server.settings import ServerSettings

Fields = dict[str, bytes]
_MAX_HEADER = 1024  # bytes of one part's headers
_CLOSE = {"Connection": "close"}


class Budget:
    """How many bytes of requests may be in the server at a time."""

    def __init__(self, limit: int):
        """Start empty."""
        self.limit, self.used = limit, 0

    def take(self, amount: int) -> None:
        """Reserve bytes.

        Raises:
            Problem: there is no room.
        """
        if self.used + amount > self.limit:
            detail = "too many requests are being received; try again in a moment"
            raise Problem(503, "busy", detail, 1.0, _CLOSE)
        self.used += amount

    def give(self, amount: int) -> None:
        """Return them."""
        self.used -= amount


@asynccontextmanager
async def received(
    request: Request, settings: ServerSettings, budget: Budget
) -> AsyncIterator[bytes]:
    """The body of a request, whose bytes count against the budget until the block ends.

    Raises:
        Problem: too large (413), too slow (408), of no length that can be read (400), or there is
            no room (503).
    """
    declared = request.headers.get("content-length")
    if declared is not None and not (declared.isascii() and declared.isdigit()):
        raise Problem(400, "bad-request", "Content-Length is not a number", headers=_CLOSE)
    reserved = settings.max_body if declared is None else int(declared)
    if reserved > settings.max_body:
        raise _too_large(settings.max_body)
    budget.take(reserved)
    try:
        yield await _in_time(request, reserved, settings.body_s)
    finally:
        budget.give(reserved)


async def _in_time(request: Request, limit: int, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, limit)
    except TimeoutError as error:
        detail = f"the body did not arrive within {seconds:g} s"
        raise Problem(408, "too-slow", detail, headers=_CLOSE) from error


async def _read(request: Request, limit: int) -> bytes:
    data = bytearray()
    try:
        async for chunk in request.stream():
            if len(data) + len(chunk) > limit:
                raise _too_large(limit)
            data += chunk
    except ClientDisconnect as error:
        raise Problem(400, "bad-request", "the client left before it had sent all") from error
    return bytes(data)


def _too_large(limit: int) -> Problem:
    detail = f"the request is larger than {limit} bytes; send smaller pictures"
    return Problem(413, "too-large", detail, headers=_CLOSE)


def content_type(request: Request) -> tuple[str, dict[str, str]]:
    """The media type of the body in lower case, and its options."""
    name, options = parse_options_header(request.headers.get("content-type", ""))
    return name.decode("latin-1").lower(), {
        key.decode("latin-1"): value.decode("latin-1") for key, value in options.items()
    }


def form_fields(data: bytes, boundary: str, max_parts: int) -> Fields:
    """The parts of a ``multipart/form-data`` body by name; file names are not looked at.

    Raises:
        Problem: not such a body, with too many parts, or with a name twice.
    """
    reader = _PartReader(max_parts)
    try:
        parser = MultipartParser(boundary.encode("latin-1"), reader.callbacks())
        parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise _malformed(f"the form cannot be read ({error})") from error
    if not reader.ended:
        raise _malformed("the form is cut short")
    return reader.fields


class _PartReader:
    """Collects the parts that the parser finds."""

    def __init__(self, max_parts: int):
        self.fields: Fields = {}
        self.ended = False
        self._max_parts, self._parts = max_parts, 0
        self._header, self._value = bytearray(), bytearray()
        self._name: str | None = None
        self._data = bytearray()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._more(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._more(self._value, data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": lambda data, start, end: self._data.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._max_parts:
            raise _malformed(f"the form has more than {self._max_parts} parts")
        self._name = None
        self._data = bytearray()

    def _more(self, header: bytearray, part: bytes) -> None:
        header += part
        if len(header) > _MAX_HEADER:
            raise _malformed(f"a part's header is longer than {_MAX_HEADER} bytes")

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace") or None
        self._header, self._value = bytearray(), bytearray()

    def _end(self) -> None:
        if self._name is None:
            raise _malformed("a part of the form has no name")
        if self._name in self.fields:
            raise _malformed(f"the form has the field {self._name!r:.40} twice")
        self.fields[self._name] = bytes(self._data)

    def _finish(self) -> None:
        self.ended = True


def json_fields(data: bytes) -> dict[str, Any]:
    """The object of a JSON body.

    Raises:
        Problem: not an object.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _malformed("the body is not valid JSON") from error
    if not isinstance(value, dict):
        raise _malformed(f"the body is a JSON {type(value).__name__}, expected an object")
    return value


def from_base64(value: Any, name: str) -> bytes:
    """The bytes of a field that holds base64.

    Raises:
        Problem: it does not.
    """
    try:
        if not isinstance(value, str):
            raise ValueError
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed(f"the field {name!r} is not base64 (without line breaks)") from error


def _malformed(detail: str) -> Problem:
    return Problem(400, "bad-request", detail)
