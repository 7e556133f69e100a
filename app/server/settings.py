"""How the server is set up: who may use it, and what a request may cost."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dmvton.errors import UsageError

_MEBI = 2**20
_SHORTEST_KEY = 16


@dataclass(frozen=True)
class ServerSettings:
    """Bounds in bytes and seconds; nothing here is without one."""

    max_body: int = 24 * _MEBI
    """Largest request: two photos of a phone, or one in base64."""
    max_parts: int = 8
    """Most fields of a form."""
    uploads: int = 256 * _MEBI
    """Most bytes of all requests that are being received or worked on."""
    body_s: float = 20.0
    """Seconds within which a request's body must have arrived."""
    head_s: float = 10.0
    """Seconds within which a request's head must have arrived."""
    send_s: float = 20.0
    """Seconds after which a client that does not read its answer is cut off."""
    socket_idle_s: float = 60.0
    """A WebSocket that says nothing for so many seconds is closed."""
    bad_frames: int = 10
    """A WebSocket with so many unusable messages in a row is closed."""
    connections: int = 512
    """Most open connections; further ones are closed at once."""
    drain_s: float = 30.0
    """Most seconds from SIGTERM to the end of the process."""
    rate: float = 0.0
    """Requests a second of one key, or of one address where there are no keys; 0 is no bound."""
    burst: int = 20
    """Requests that may come at once under ``rate``."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Owner by SHA-256 of the key; empty lets everybody in."""
    origins: tuple[str, ...] = ()
    """Web origins beside the server's own whose pages may call it."""
    label: bool = False
    """Write "virtual" into every picture, whether asked to or not."""
    provenance: bool = True
    """Say in every picture's metadata that a model made part of it."""


def key_digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: str | Path) -> dict[str, str]:
    """Read a file of keys: an owner and a key a line, ``#`` begins a comment.

    Returns:
        Owner by digest of the key.

    Raises:
        UsageError: the file cannot be read, or a line is not of that form.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the keys cannot be read ({error}); give a text file") from error
    keys = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or len(words[1]) < _SHORTEST_KEY:
            # The line itself is not shown: it may hold a key.
            raise UsageError(
                f"{path}: line {number} is not 'OWNER KEY' with a key of at least "
                f"{_SHORTEST_KEY} characters; make one with: openssl rand -hex 24"
            )
        keys[key_digest(words[1])] = words[0]
    if not keys:
        raise UsageError(f"{path}: holds no key; write one 'OWNER KEY' a line")
    return keys
