"""What all routes share."""

import asyncio
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from app.engine import Engine
from app.engine.codec import Encoding
from app.server.bodies import Budget
from app.server.guard import Guard
from app.server.metrics import Metrics
from app.server.problems import Problem
from app.server.settings import ServerSettings


@dataclass(eq=False)
class Door:
    """The engine and the state of the server around it."""

    engine: Engine
    settings: ServerSettings
    metrics: Metrics
    guard: Guard
    budget: Budget
    ready: bool = False
    unready: str = "the server is warming up"
    sockets: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None

    def drain(self) -> None:
        """Let nobody in any more; those inside finish."""
        self.guard.draining = True
        self.ready, self.unready = False, "the server is shutting down"
        self.closing.set()

    def encoding(self, fields: dict[str, str], default: Encoding) -> Encoding:
        """As ``chosen_encoding``."""
        return chosen_encoding(fields, default, self.settings)


def chosen_encoding(
    fields: dict[str, str], default: Encoding, settings: ServerSettings
) -> Encoding:
    """How a client wants its result, within what the server allows.

    Args:
        fields: ``format``, ``quality`` and ``label``, as far as they were sent.
        default: what holds where they were not.
        settings: of the server.

    Raises:
        Problem: an option has a value that is not allowed.
        UsageError: likewise.
    """
    quality = fields.get("quality", str(default.quality))
    if not (quality.isascii() and quality.isdigit() and len(quality) <= 3):
        raise Problem(422, "unusable-option", f"got quality {quality!r:.40}; use 1 to 100")
    label = fields.get("label", str(default.label).lower())
    if label not in ("true", "false"):
        raise Problem(422, "unusable-option", f"got label {label!r:.40}; use true or false")
    return Encoding(
        format=fields.get("format", default.format),
        quality=int(quality),
        label=label == "true" or settings.label,
        provenance=settings.provenance,
    )


def door_of(connection: HTTPConnection) -> Door:
    """The door that a request came in by."""
    return connection.app.state.door
