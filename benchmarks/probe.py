"""A process that makes one frame with one contender and says when it was done.

`python -m benchmarks.probe NAME THREADS SOURCES`, SOURCES being `benchmarks.contenders.Sources` as
JSON. It imports what the contender needs and no command-line library, which would count as cold
start.
"""

import json
import sys
import time

from benchmarks.contenders import Sources, contenders
from benchmarks.process import FIRST_FRAME


def main(argv: list[str]) -> None:
    """Loads and runs once; `argv` as in the module's description."""
    name, threads, sources = argv
    (contender,) = (c for c in contenders(Sources(**json.loads(sources))) if c.name == name)
    contender.prepare(int(threads))
    contender.run()
    print(FIRST_FRAME, time.time())


if __name__ == "__main__":
    main(sys.argv[1:])
