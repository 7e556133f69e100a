"""Freed memory that stays with the process."""

import platform
import subprocess
import sys

import pytest

LOOP = """
import resource, numpy as np
from dmvton.memory import keep_memory
kept = {keep} and keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        pictures = [np.ones(2**19, np.float32) for _ in range(16)]
        del pictures
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(keep: bool) -> tuple[bool, int]:
    out = subprocess.run([sys.executable, "-c", LOOP.format(keep=keep)], capture_output=True,
                         text=True, check=True)  # fmt: skip
    kept, faults = out.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_memory_that_was_freed_is_not_asked_for_again():
    (kept, few), (_, many) = run(True), run(False)
    assert kept and many >= 50 and few < many / 10
