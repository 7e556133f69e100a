"""Errors as ``application/problem+json`` (RFC 9457): what was got, and the way out."""

import http
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.engine.engine import ExpiredError
from app.engine.garments import UnknownGarmentError
from app.engine.pool import BusyError, SupersededError
from dmvton.errors import DmvtonError, GarmentError, ImageError, NoPersonError, UsageError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("dmvton.server")

# Status and name of each error of the engine, the narrowest class first.
_KNOWN: tuple[tuple[type[DmvtonError], int, str], ...] = (
    (BusyError, 503, "busy"),
    (SupersededError, 409, "superseded"),
    (ExpiredError, 410, "expired"),
    (UnknownGarmentError, 404, "unknown-garment"),
    (NoPersonError, 422, "no-person"),
    (GarmentError, 422, "no-garment"),
    (ImageError, 422, "unusable-picture"),
    (UsageError, 422, "unusable-option"),
)


class Problem(Exception):
    """An answer that is not a result."""

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        retry_s: float | None = None,
        headers: dict[str, str] | None = None,
    ):
        """Make one.

        Args:
            status: of HTTP.
            name: of the kind of problem; clients may tell problems apart by it.
            detail: a sentence.
            retry_s: when to try again.
            headers: further ones.
        """
        super().__init__(detail)
        self.status, self.name, self.detail = status, name, detail
        self.retry_s = retry_s
        self.headers = dict(headers or {})
        if retry_s is not None:
            self.headers["Retry-After"] = str(max(1, round(retry_s)))

    def body(self) -> dict[str, Any]:
        """The fields of the answer."""
        return {
            "type": f"urn:dmvton:problem:{self.name}",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.body(), self.status, self.headers, media_type=MEDIA_TYPE)


def problem_of(error: DmvtonError) -> Problem:
    """The problem of an error of the engine."""
    for kind, status, name in _KNOWN:
        if isinstance(error, kind):
            retry_s = error.retry_s if isinstance(error, BusyError) else None
            return Problem(status, name, " ".join(str(error).split()), retry_s)
    _log.error("the engine failed: %s: %s", type(error).__name__, error)
    return Problem(500, "internal", "the server failed; its log says more")


def install(app: FastAPI) -> None:
    """Answer every error with a problem."""

    @app.exception_handler(Problem)
    def _problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(DmvtonError)
    def _dmvton(_: Request, error: DmvtonError) -> JSONResponse:
        return problem_of(error).response()

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> JSONResponse:
        problem = Problem(
            error.status_code, "http", str(error.detail), headers=dict(error.headers or {})
        )
        return problem.response()

    @app.exception_handler(Exception)
    def _bug(_: Request, error: Exception) -> JSONResponse:
        # The traceback is logged by the server; none of it goes to the client.
        return Problem(500, "internal", "the server failed; its log says more").response()
