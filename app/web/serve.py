"""``python -m app.web.serve DIR``: the built page, with the headers that it is at its best with.

A small static server for one's own devices; any host of static files does as well.
"""

import functools
import sys
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from app.arguments import Parser
from app.https import add_options, context_of, pair_of
from app.web.build import RECORD
from dmvton.errors import DmvtonError, UsageError

PORT = 8080

HEADERS = {
    # Together these isolate the page: browsers give threads only to isolated pages.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Nothing from elsewhere and nothing to elsewhere: pictures cannot leave the device.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # asked again every time, and not sent again when unchanged
}


class Handler(SimpleHTTPRequestHandler):
    """One folder, read-only, without listings."""

    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
        ".webmanifest": "application/manifest+json",
    }
    server_version, sys_version = "dmvton", ""
    timeout = 30  # seconds without a byte

    def end_headers(self) -> None:
        """Add the headers to every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_head(self):
        """Send the packed copy of a file where there is one and the browser takes it."""
        packed = Path(self.translate_path(self.path) + ".gz")
        if "gzip" not in self.headers.get("Accept-Encoding", "") or not packed.is_file():
            return super().send_head()
        file = packed.open("rb")
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(packed.with_suffix(""))))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(packed.stat().st_size))
        self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        return file

    def list_directory(self, path):
        """Folders are not listed."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Keep no record of who looked at what."""


class Server(ThreadingHTTPServer):
    """Answers each connection in a thread of its own."""

    def handle_error(self, request, client_address) -> None:
        """Keep quiet about who left early or spoke plain http to https; tell everything else."""
        if not isinstance(sys.exception(), OSError):  # ssl.SSLError is one
            super().handle_error(request, client_address)


def server_of(
    folder: Path, host: str = "127.0.0.1", port: int = PORT, pair: tuple[str, str] | None = None
) -> ThreadingHTTPServer:
    """The server, bound and not yet running; port 0 takes a free one.

    Args:
        folder: as ``app.web.build`` made it.
        host: address to listen on.
        port: to listen on.
        pair: files of a certificate and its key, for https.

    Raises:
        UsageError: no such build, address or certificate.
    """
    if not (folder / RECORD).is_file():
        raise UsageError(
            f"{folder}: no built page; make it with: python -m app.web.build --out {folder}"
        )
    handler = functools.partial(Handler, directory=str(folder))
    try:
        server = Server((host, port), handler)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on {host} port {port} ({error}); give others with --host and --port"
        ) from error
    if pair is not None:
        try:
            context = context_of(pair)
        except UsageError:
            server.server_close()
            raise
        # The handshake is left to the connection's own thread: a silent client holds up nobody.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    return server


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = Parser(prog="python -m app.web.serve", description="Serve the built on-device page.")
    parser.add_argument("folder", metavar="DIR", help="as app.web.build made it")
    parser.add_argument("--host", default="127.0.0.1", help="(default: this computer only)")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"(default: {PORT})")
    add_options(parser)
    try:
        args = parser.parse_args(argv)
        pair = pair_of(args)
        server = server_of(Path(args.folder), args.host, args.port, pair)
    except DmvtonError as error:
        print("dmvton: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    scheme = "https" if pair else "http"
    print(f"{scheme}://{args.host}:{server.server_address[1]}  (Ctrl-C ends it)", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
