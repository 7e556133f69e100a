"""Files that are whole or not there: written under another name first, then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmvton.errors import OutputError

ELSEWHERE = "choose another place or name"


def beside(target: str | os.PathLike) -> Path:
    """A free name in the folder of the real target, with its ending: a rename there is atomic."""
    real = Path(os.path.realpath(target))  # a link keeps pointing at the file that is replaced
    return real.with_name(f".{real.stem}.{secrets.token_hex(6)}.part{real.suffix}")


@contextmanager
def whole(path: str | os.PathLike, way_out: str = ELSEWHERE) -> Iterator[Path]:
    """A free name beside `path`; what the block writes there becomes `path`, unless it fails.

    Two that write the same file at once do not meet; the later one stays. An error leaves `path` as
    it was and nothing beside it.

    Raises:
        OutputError: it cannot be written; `way_out` ends the message.
    """
    partial = beside(path)
    try:
        yield partial
        os.replace(partial, os.path.realpath(path))
    except OSError as error:
        raise cannot_write(path, error, way_out) from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str, way_out: str = ELSEWHERE) -> None:
    """Writes a text file whole or not at all; errors as `whole`."""
    with whole(path, way_out) as partial:
        partial.write_text(text)


def cannot_write(path: str | os.PathLike, error: Exception, way_out: str) -> OutputError:
    """The error of a file that cannot be written."""
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"{path}: cannot be written ({reason}); {way_out}")
