"""Argument parsing for the commands that must start fast.

They use ``argparse``: importing ``jsonargparse``, which the commands with configurations use, would
be a good part of the time that ``dmvton try`` takes.
"""

import argparse
from typing import TYPE_CHECKING, NoReturn

from dmvton.errors import UsageError

if TYPE_CHECKING:
    from dmvton.tryon import TryOn


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are typed: one line, no usage block."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError`` instead of printing and exiting."""
        raise UsageError(f"{message}; see {self.prog} --help")

    def add_count(self, name: str, about: str, default: int | None = None) -> None:
        """An option that takes a whole number from 1 on."""

        def count(text: str) -> int:
            try:
                number = int(text)
            except ValueError:
                raise argparse.ArgumentTypeError(f"invalid int value: {text!r}") from None
            if number < 1:
                raise argparse.ArgumentTypeError(
                    f"got {name} {number}; use 1 or more, or leave it out"
                )
            return number

        self.add_argument(name, type=count, default=default, metavar="N", help=about)


def add_address(parser: Parser, port: int) -> None:
    """The options that say where a server listens."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets other devices in (default: this computer only)",
    )
    parser.add_argument("--port", type=int, default=port, metavar="N", help=f"(default: {port})")


def add_network(parser: Parser, threads: str = "threads of the network") -> None:
    """The options that say which network runs on what; `threads` is the help of one of them."""
    parser.add_argument(
        "--weights",
        metavar="DIR",
        help="network to use instead of the packaged one; student-256x192-int8 is packaged too",
    )
    parser.add_argument(
        "--runtime",
        default="onnxruntime",
        metavar="NAME",
        help="what it runs on: onnxruntime (the default), or openvino, which is an extra",
    )
    parser.add_count("--threads", threads)


def load_network(args: argparse.Namespace, threads: int | None = None) -> "TryOn":
    """The engine that `add_network`'s options name; `threads` where none are given.

    Raises:
        DmvtonError: as `TryOn.load`.
    """
    from dmvton.tryon import TryOn

    return TryOn.load(args.weights, args.threads or threads, args.runtime)
