"""The OpenAPI description of the routes that read their bodies themselves."""

from typing import Any

_PHOTO = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
_BASE64 = {"type": "string", "contentEncoding": "base64", "format": "byte"}
_OPTIONS: dict[str, Any] = {
    "garment_id": {"type": "string", "description": "A garment sent before, in place of its photo"},
    "format": {"type": "string", "enum": ["jpeg", "png", "webp"], "default": "jpeg"},
    "quality": {"type": "integer", "minimum": 1, "maximum": 100, "default": 92},
    "label": {
        "type": "boolean",
        "default": False,
        "description": 'Write "virtual" into the picture',
    },
}


def _body(pictures: tuple[str, ...], required: list[str], options: dict[str, Any]) -> dict:
    def schema(picture: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": required,
            "properties": {**{name: picture for name in pictures}, **options},
            "additionalProperties": False,
        }

    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": schema(_PHOTO)},
                "application/json": {"schema": schema(_BASE64)},
            },
        }
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_PROBLEM = _object(
    {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    }
)
_COUNT = {"type": "integer", "minimum": 1}
_GARMENT = _object({"id": {"type": "string"}, "width": _COUNT, "height": _COUNT})
_RESULT = _object(
    {
        "image": _BASE64,
        "media_type": {"type": "string"},
        "width": _COUNT,
        "height": _COUNT,
        "garment_id": {"type": "string"},
        "presence": {"type": "number"},
        "stages_ms": {"type": "object", "additionalProperties": {"type": "number"}},
    }
)
_WHY = {
    400: "The request cannot be read",
    401: "A valid API key is needed",
    404: "No garment of this id is kept",
    408: "The body arrived too slowly",
    413: "The request is too large",
    415: "The body is of a type that is not supported",
    422: "A picture or an option cannot be used, or nobody is in the photo",
    429: "Too many requests of this client; Retry-After says when to try again",
    503: "The server is full or shutting down; Retry-After says when to try again",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that are problems."""
    content = {"application/problem+json": {"schema": _PROBLEM}}
    return {status: {"description": _WHY[status], "content": content} for status in statuses}


def _json(about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


_PICTURES = {kind: {"schema": _PHOTO} for kind in ("image/jpeg", "image/png", "image/webp")}
_RESULTS = {**_PICTURES, "application/json": {"schema": _RESULT}}
_ERRORS = problems(*_WHY)

GARMENTS: dict[str, Any] = {
    "responses": {201: _json("Kept", _GARMENT), **_ERRORS},
    "openapi_extra": _body(("garment",), ["garment"], {}),
    "operation_id": "addGarment",
}
TRYON: dict[str, Any] = {
    "responses": {
        200: {"description": "The picture; JSON where the request was JSON", "content": _RESULTS},
        **_ERRORS,
    },
    "openapi_extra": _body(("person", "garment"), ["person"], _OPTIONS),
    "operation_id": "tryOn",
}
