"""How this process asks the system for memory."""

import ctypes

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h


def keep_memory() -> bool:
    """Keeps freed memory for the next picture; False where the C library has no such switch.

    glibc hands large blocks, and what is free at the end of its heap, back to the system, and the
    next picture of the same size is paid for again, page by page: a quarter of the time of a loop
    over megapixel arrays. The process stays as large as it once was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    largest = 32 << 20  # what glibc allows
    return bool(mallopt(_MMAP, largest)) and bool(mallopt(_TRIM, (1 << 31) - 1))
