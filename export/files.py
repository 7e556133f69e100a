"""Folders that are written whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmvton.errors import OutputError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A scratch folder inside `out`; its files move into `out` if the block ends without an error.

    `manifest.json` moves last: until then readers see the old manifest, whose hashes tell that the
    files have changed. After an error, `out` is as it was.

    Raises:
        OutputError: `out` cannot be made or written.
    """
    created = _first_missing(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=out, prefix=".partial-"))
    except OSError as error:
        _remove_empty(created, out)
        raise OutputError(
            f"cannot write to {out} ({error.strerror}); expected a folder that can be made or "
            "written; name another one"
        ) from error
    try:
        yield scratch
        for path in sorted(scratch.iterdir(), key=lambda p: p.name == "manifest.json"):
            os.replace(path, out / path.name)
    finally:
        shutil.rmtree(scratch)
        _remove_empty(created, out)


def _first_missing(out: Path) -> Path | None:
    """The topmost folder on the way to `out` that does not exist yet."""
    missing = [path for path in (out, *out.parents) if not path.exists()]
    return missing[-1] if missing else None


def _remove_empty(created: Path | None, out: Path) -> None:
    """Takes back the folders that were made, where nothing was put into them."""
    if created is None or not out.is_dir() or any(out.iterdir()):
        return
    for path in (out, *out.parents):
        path.rmdir()
        if path == created:
            return


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON."""
    path.write_text(json.dumps(value, indent=1) + "\n")
