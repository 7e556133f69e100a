"""``dmvton serve``: HTTP and WebSocket server."""

import os
from collections.abc import Sequence

from app.arguments import Parser, add_address, add_network, load_network
from app.https import add_options, pair_of
from dmvton.errors import UsageError

PORT = 8000


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; errors are raised as ``dmvton.errors``."""
    args = _parser().parse_args(argv)
    if not 0 <= args.rate < float("inf"):
        raise UsageError(f"got --rate {args.rate:g}; use 0 (any number) or more")
    for origin in args.cors_origin:
        if not origin.startswith(("http://", "https://")) or origin.endswith("/"):
            raise UsageError(
                f"got --cors-origin {origin!r}; use scheme, host and port, as https://shop.example"
            )
    pair = pair_of(args)
    # A worker is one thread: before numpy is imported, its BLAS must hear that too.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import cv2

    from app.demo import check_address
    from app.engine import EngineLimits
    from app.server.application import create_app
    from app.server.protocol import server_of
    from app.server.settings import ServerSettings, read_keys

    settings = ServerSettings(
        rate=args.rate,
        keys=read_keys(args.keys) if args.keys else {},
        origins=tuple(args.cors_origin),
        label=args.label,
        provenance=not args.no_provenance,
    )
    check_address(args.host, args.port)
    cv2.setNumThreads(1)
    app = create_app(
        load_network(args, threads=1),
        settings,
        EngineLimits(streams=args.streams),
        args.workers,
    )
    server_of(app, args.host, args.port, pair=pair).run()
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dmvton serve", description="Serve try-on over HTTP and WebSocket.")
    add_address(parser, PORT)
    add_options(parser)
    parser.add_count("--workers", "frames worked on at a time (default: cores)")
    add_network(parser, "threads of the network a worker (default: 1)")
    parser.add_count("--streams", "most live streams (default: 16)", default=16)
    parser.add_argument(
        "--keys", metavar="FILE", help="only those may come who have a key: 'OWNER KEY' a line"
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="R",
        help="most requests a second of one key, or of one address without keys (default: any)",
    )
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="URL",
        help="let pages of this origin call the server; may be given again (default: none)",
    )
    parser.add_argument("--label", action="store_true", help='write "virtual" into every picture')
    parser.add_argument(
        "--no-provenance",
        action="store_true",
        help="leave out the metadata that says that a model made part of the picture",
    )
    return parser
