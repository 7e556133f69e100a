"""``benchmarks.chromium`` for tests: they are skipped where there is no browser."""

from contextlib import contextmanager

import pytest

from benchmarks import chromium as driver
from benchmarks.chromium import Page, camera, film

__all__ = ["Page", "camera", "chromium", "film"]


@contextmanager
def chromium(folder, *flags):
    pytest.importorskip("websockets.sync.client", reason="needs websockets")
    try:
        with driver.chromium(folder, *flags) as page:
            yield page
    except driver.NoChromiumError as error:
        pytest.skip(str(error))
