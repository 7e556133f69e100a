"""Argument parsing for the commands that must start fast.

They use ``argparse``: importing ``jsonargparse``, which the commands with configurations use, would
be a good part of the time that ``dmvton try`` takes.
"""

import argparse
from typing import NoReturn

from dmvton.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose errors are typed: one line, no usage block."""

    def error(self, message: str) -> NoReturn:
        """Raise ``UsageError`` instead of printing and exiting."""
        raise UsageError(f"{message}; see {self.prog} --help")
