"""How this process asks the system for memory."""

import ctypes

_TRIM, _MMAPS = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_memory() -> bool:
    """Keeps freed memory for the next picture; False where the C library has no such switch.

    glibc hands large blocks, and what is free at the end of its heap, back to the system, and the
    next array of the same size is paid for again, page by page: a quarter of the time of a loop
    over megapixel arrays, a third of a training step on a CPU. The process stays as large as
    it once was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    # No block gets a mapping of its own: a threshold would do, but glibc allows none over 32 MiB.
    return bool(mallopt(_MMAPS, 0)) and bool(mallopt(_TRIM, (1 << 31) - 1))
