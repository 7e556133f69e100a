"""Who may come in: API keys, rates, origins, and the closing door."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.server.problems import Problem
from app.server.settings import ServerSettings, key_digest

_CLIENTS = 10_000  # rates remembered; the client not seen for longest is forgotten


class Rates:
    """A token bucket for each client."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic):
        """Allow ``rate`` requests a second on average (0: any number), ``burst`` at once."""
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, time

    def take(self, client: str) -> None:
        """Count a request.

        Raises:
            Problem: it is one too many.
        """
        if self._rate <= 0:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        self._buckets[client] = (tokens - 1 if tokens >= 1 else tokens), now
        while len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            detail = f"more than {self._rate:g} requests a second; slow down"
            raise Problem(429, "too-many-requests", detail, (1 - tokens) / self._rate)


class Guard:
    """Checks a request before any of its body is read."""

    def __init__(self, settings: ServerSettings):
        """Keep the rules."""
        self.settings = settings
        self.rates = Rates(settings.rate, settings.burst)
        self.draining = False

    def admit(self, scope: MutableMapping[str, Any]) -> str:
        """Let a request or a WebSocket in.

        Returns:
            The owner of its key, or "" where there are no keys.

        Raises:
            Problem: no valid key (401), too many requests (429), or shutting down (503).
        """
        if self.draining:
            close = {"Connection": "close"}
            raise Problem(503, "draining", "the server is shutting down", 5.0, close)
        owner = self.owner(scope)
        address = (scope.get("client") or ("",))[0]
        self.rates.take(f"key {owner}" if owner else f"address {address}")
        return owner

    def check_origin(self, headers: Headers) -> None:
        """Keep pages of other sites off the WebSocket, to which browsers apply no CORS.

        Raises:
            Problem: the page's origin is neither the server's own nor allowed.
        """
        origin = headers.get("origin")
        if origin is None or origin in self.settings.origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise Problem(403, "origin", f"pages of {origin!r:.80} may not call this server")

    def owner(self, scope: MutableMapping[str, Any]) -> str:
        """Whose key a request has, or "" where there are no keys.

        Raises:
            Problem: no valid key (401).
        """
        if not self.settings.keys:
            return ""
        owner = owner_of(_key(scope), self.settings.keys)
        if owner is None:
            headers_out = {"WWW-Authenticate": "Bearer", "Connection": "close"}
            detail = "a valid API key is needed: Authorization: Bearer KEY"
            raise Problem(401, "unauthorized", detail, headers=headers_out)
        return owner


def _key(scope: MutableMapping[str, Any]) -> str:
    """The key that a request brings, "" where it brings none."""
    headers = Headers(scope=scope)
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    # For its WebSockets, a page can set no header but the subprotocols.
    offered = (name for name in scope.get("subprotocols", ()) if name.startswith("key."))
    return headers.get("x-api-key") or next(offered, "").removeprefix("key.")


def owner_of(key: str, keys: Mapping[str, str]) -> str | None:
    """Whose key it is; None for nobody's. Takes as long for any key."""
    digest, found = key_digest(key), None
    for known, owner in keys.items():
        if hmac.compare_digest(digest, known):
            found = owner
    return found
