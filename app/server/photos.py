"""``POST /v1/garments`` and ``POST /v1/tryon``."""

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from app.engine import Dressed
from app.engine.codec import MEDIA_TYPES, Encoding
from app.server import describe
from app.server.bodies import content_type, form_fields, from_base64, json_fields, received
from app.server.door import Door, door_of
from app.server.problems import Problem
from dmvton.garment import Garment

router = APIRouter(prefix="/v1")
PICTURES = ("person", "garment")
OPTIONS = ("format", "quality", "label", "garment_id")


@router.post("/garments", status_code=201, **describe.GARMENTS)
async def add_garment(request: Request) -> JSONResponse:
    """Take in a garment photo and keep what the network makes of it, for photos and streams."""
    door = door_of(request)
    async with received(request, door.settings, door.budget) as body:
        fields = await asyncio.to_thread(fields_of, request, body, door.settings.max_parts)
        only(fields, ("garment",))
        key, garment = await _garment(door, request, fields)
    height, width = garment.photo.image.shape[:2]
    return JSONResponse({"id": key, "width": width, "height": height}, 201)


@router.post("/tryon", **describe.TRYON)
async def try_on(request: Request) -> Response:
    """Dress the person in a photo."""
    door = door_of(request)
    async with received(request, door.settings, door.budget) as body:
        fields = await asyncio.to_thread(fields_of, request, body, door.settings.max_parts)
        only(fields, PICTURES + OPTIONS)
        if not fields.get("person"):
            raise Problem(400, "bad-request", "the field 'person' is missing: a photo of a person")
        options = {name: fields[name] for name in OPTIONS if name in fields}
        encoding = door.encoding(options, Encoding())
        key, garment = await _garment(door, request, fields)
        dressed = await asyncio.wrap_future(door.engine.photo(fields["person"], garment, encoding))
    if content_type(request)[0] == "application/json":
        return JSONResponse(_described(dressed, key, encoding))
    timing = ", ".join(f"{name};dur={s * 1e3:.1f}" for name, s in dressed.stages_s.items())
    headers = {"Server-Timing": timing, "X-Garment-Id": key}
    return Response(dressed.data, 200, headers, MEDIA_TYPES[encoding.format])


async def _garment(door: Door, request: Request, fields: dict[str, Any]) -> tuple[str, Garment]:
    """The garment that a request sends or names."""
    photo, key = fields.get("garment", b""), fields.get("garment_id", "")
    if bool(photo) == bool(key):
        detail = "send either the field 'garment', a photo, or 'garment_id', and not both"
        raise Problem(400, "bad-request", detail)
    if key:
        return key, door.engine.garments.get(key)
    return await asyncio.wrap_future(door.engine.garment(photo, request.state.owner))


def fields_of(request: Request, body: bytes, max_parts: int) -> dict[str, Any]:
    """The request's fields: pictures as bytes, options as strings.

    Raises:
        Problem: it is of another type, or malformed.
    """
    kind, options = content_type(request)
    if kind == "multipart/form-data" and "boundary" in options:
        parts = form_fields(body, options["boundary"], max_parts)
        return {
            name: value if name in PICTURES else value.decode("utf-8", "replace")
            for name, value in parts.items()
        }
    if kind == "application/json":
        values = {name: value for name, value in json_fields(body).items() if value is not None}
        return {
            name: from_base64(value, name) if name in PICTURES else _text(value)
            for name, value in values.items()
        }
    detail = f"got a body of type {kind!r:.60}; send multipart/form-data or application/json"
    raise Problem(415, "unsupported-media-type", detail)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def only(fields: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a field that is not known.

    Raises:
        Problem: there is one.
    """
    for name in fields:
        if name not in known:
            detail = f"unknown field {name!r:.40}; expected {', '.join(known)}"
            raise Problem(400, "bad-request", detail)


def _described(dressed: Dressed, key: str, encoding: Encoding) -> dict[str, Any]:
    return {
        "image": base64.b64encode(dressed.data).decode("ascii"),
        "media_type": MEDIA_TYPES[encoding.format],
        "width": dressed.width,
        "height": dressed.height,
        "garment_id": key,
        "presence": round(dressed.result.presence, 3),
        "stages_ms": {name: round(s * 1e3, 1) for name, s in dressed.stages_s.items()},
    }
