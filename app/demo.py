"""``dmvton demo``: a web page that puts garments on photos and on the camera's picture."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.arguments import Parser, add_address, add_network, load_network
from app.https import add_options, pair_of
from dmvton.errors import UsageError

PORT = 7860


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; errors are raised as ``dmvton.errors``."""
    args = _parser().parse_args(argv)
    pair = pair_of(args)
    check_address(args.host, args.port)
    # A worker is one thread: before numpy is imported, its BLAS must hear that too.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with private_cache():
        # Only here: gradio reads its settings when it is imported, and takes seconds to import.
        import cv2

        from app.page import application
        from app.server.protocol import server_of

        cv2.setNumThreads(1)
        site = Path(args.site) if args.site else None
        app = application(load_network(args, threads=1), site=site)
        _announce("https" if pair else "http", args.host, args.port)
        server_of(app, args.host, args.port, "warning", pair).run()
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dmvton demo", description="Serve a web page with camera and photo.")
    add_address(parser, PORT)
    add_options(parser)
    parser.add_argument(
        "--site", metavar="DIR", help="also serve the on-device page built there, at /device/"
    )
    add_network(parser)
    return parser


def check_address(host: str, port: int) -> None:
    """Make sure that the page can be served there.

    Raises:
        UsageError: no such address here, a port that is taken, or one that is not allowed.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"got --port {port}; use one from 1024 to 65535")
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is in use; choose another with --port") from error
        reason = error.strerror or error
        raise UsageError(
            f"cannot listen on {host} port {port} ({reason}); choose others with --host and --port"
        ) from error


@contextmanager
def private_cache() -> Iterator[str]:
    """Keep Gradio's files in a folder of our own that is gone afterwards, and it from calling home.

    Gradio keeps uploads as files; where there is a file system in memory, they stay off the disk.
    To be entered before gradio is imported.

    Yields:
        The folder.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(
        prefix="dmvton-demo-", dir=memory, ignore_cleanup_errors=True
    ) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        yield folder


def _announce(scheme: str, host: str, port: int) -> None:
    print(f"dmvton demo: {scheme}://{host}:{port}  (Ctrl-C ends it)", flush=True)
    if scheme == "http" and host not in ("127.0.0.1", "localhost", "::1"):
        print(
            "Other devices reach it at this computer's address. Their browsers give the page a "
            "camera only over https: give --cert and --key, or put it behind a proxy for that.",
            flush=True,
        )
