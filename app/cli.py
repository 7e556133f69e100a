"""The ``dmvton`` command: one dict of commands, each imported only when it is called.

So ``try``, ``bench`` and ``doctor`` run on the base install and start fast, and ``train`` may need
torch. Errors that the user can act on end with status 2 and one line on stderr.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from typing import NamedTuple

import dmvton
from dmvton.errors import DmvtonError, MissingExtraError, UsageError


class Command(NamedTuple):
    """Where a command lives: ``module.main(argv)``, returning an exit status or None."""

    module: str
    about: str
    extra: str | None = None  # the optional dependencies that it needs


COMMANDS = {
    "try": Command("app.try_on", "put a garment photo on a person photo"),
    "video": Command("app.video", "put a garment photo on the person in a video", "app"),
    "demo": Command("app.demo", "web page with photo and webcam try-on", "app"),
    "serve": Command("app.serve", "HTTP and WebSocket server", "serve"),
    "synth": Command("pose_synth.cli", "make training data", "synth"),
    "train": Command("dmvton.train", "train the networks", "train"),
    "mean": Command("dmvton.mean", "the mean of trained checkpoints", "train"),
    "eval": Command("benchmarks.evaluate", "measure quality on held-out data", "train"),
    "export": Command("export.cli", "export the network to other runtimes", "export"),
    "bench": Command("benchmarks.bench", "measure speed and memory"),
    "doctor": Command("app.doctor", "what this machine can run, and what is missing for the rest"),
}
_OWN_PACKAGES = ("dmvton", "pose_synth", "export", "app", "benchmarks")


def available_commands() -> dict[str, Command]:
    """The commands whose code is in this version."""
    return {name: command for name, command in COMMANDS.items() if _exists(command.module)}


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that should hold it does not exist
        return False


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dmvton`` with these arguments, those of the process by default.

    Returns:
        0 where all went well, 2 for an error that the user can act on, 130 when interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help", "help"):
            print(_help())
            return 0
        if words[0] in ("-V", "--version"):
            print(f"dmvton {dmvton.__version__}")
            return 0
        return _run(words[0], words[1:])
    except DmvtonError as error:
        print("dmvton: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dmvton: interrupted", file=sys.stderr)
        return 130


def _run(name: str, words: list[str]) -> int:
    command = COMMANDS.get(name)
    if command is None or not _exists(command.module):
        known = ", ".join(available_commands())
        raise UsageError(f"unknown command {name!r}; expected one of {known} (see dmvton --help)")
    try:
        return importlib.import_module(command.module).main(words) or 0
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if command.extra is None or package in _OWN_PACKAGES or not package:
            raise
        raise MissingExtraError(
            f"'dmvton {name}' needs the package {package}, which is not installed; "
            f'run: pip install "dmvton[{command.extra}]"'
        ) from error


def _help() -> str:
    lines = ["usage: dmvton COMMAND [options]", "", "Virtual try-on in real time.", "", "commands:"]
    lines += [f"  {name:8}{command.about}" for name, command in available_commands().items()]
    lines += ["", "'dmvton COMMAND --help' tells the options of one command."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
