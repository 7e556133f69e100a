"""What the tests of the runtime share: a fake network, and pictures that it understands."""

import os

# Tests are tiny: a second thread costs more than it brings, and on a busy machine its spinning
# makes them a hundred times slower. Must be set before torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402

from dmvton.runtime import DEFAULT_WEIGHTS  # noqa: E402
from tests import fake_pair  # noqa: E402


@pytest.fixture(scope="session")
def fake_weights(tmp_path_factory):
    """Folder of a fake pair."""
    return fake_pair.write_pair(tmp_path_factory.mktemp("weights") / "fake")


@pytest.fixture(scope="session")
def fake_tryon(fake_weights):
    """The engine on the fake pair."""
    from dmvton import TryOn

    return TryOn.load(fake_weights, threads=1)


@pytest.fixture(scope="session")
def real_tryon():
    """The engine on the packaged weights."""
    from dmvton import TryOn

    if not (DEFAULT_WEIGHTS / "manifest.json").exists():
        pytest.skip("no packaged weights yet")
    return TryOn.load(threads=1)
