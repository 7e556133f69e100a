"""A certificate of one's own, for https without a proxy: browsers give pages a camera over it."""

import argparse
import ssl

from dmvton.errors import UsageError

Pair = tuple[str, str]  # files of a certificate and its key, in PEM


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--cert`` and ``--key``."""
    parser.add_argument("--cert", metavar="PEM", help="certificate, to serve https")
    parser.add_argument("--key", metavar="PEM", help="its key")


def pair_of(args: argparse.Namespace) -> Pair | None:
    """The files that were given, checked; None for plain http.

    Raises:
        UsageError: only one was given, or they are no certificate and its key.
    """
    if (args.cert is None) != (args.key is None):
        raise UsageError("got one of --cert and --key; give both, or neither for http")
    if args.cert is None:
        return None
    context_of((args.cert, args.key))
    return args.cert, args.key


def context_of(pair: Pair) -> ssl.SSLContext:
    """What speaks https with them.

    Raises:
        UsageError: they are no certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(*pair)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"{pair[0]}, {pair[1]}: no usable certificate and key ({error}); give PEM files"
        ) from error
    return context
