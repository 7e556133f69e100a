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
        arrays = [np.ones({size} << 18, np.float32) for _ in range(64 // {size})]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(keep: bool, size: int) -> tuple[bool, int]:
    code = LOOP.format(keep=keep, size=size)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, faults = out.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
@pytest.mark.parametrize("size", [2, 64])  # MiB: a picture, and the maps of a training step
def test_memory_that_was_freed_is_not_asked_for_again(size):
    (kept, few), (_, many) = run(True, size), run(False, size)
    assert kept and many >= 50 and few < many / 10
