import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dmvton import sessions
from dmvton.errors import CheckpointError, MissingExtraError, UsageError
from dmvton.runtime import NetworkPair
from dmvton.sessions import RUNTIMES, open_session
from dmvton.tryon import TryOn


def pictures(size=(256, 192)):
    return np.random.default_rng(0).random((2, 1, 3, *size), dtype=np.float32)


def test_openvino_gives_what_onnx_runtime_gives():
    pytest.importorskip("openvino", reason='pip install "dmvton[openvino]"')
    person, garment = pictures()
    answers = []
    for runtime in RUNTIMES:
        network = NetworkPair(threads=1, runtime=runtime)
        answers.append(network.run(person, garment, network.encode_garment(garment)))
    for name, value in answers[0]._asdict().items():
        np.testing.assert_allclose(getattr(answers[1], name), value, atol=2e-3, err_msg=name)


def test_openvino_is_shared_between_threads():
    pytest.importorskip("openvino", reason='pip install "dmvton[openvino]"')
    network = TryOn.load(threads=1, runtime="openvino").network
    garment = pictures()[1]
    features = network.encode_garment(garment)
    people = [np.full_like(garment, k / 8) for k in range(8)]
    wanted = [network.run(person, garment, features) for person in people]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda person: network.run(person, garment, features), people * 2))
    for one, alone in zip(found, wanted * 2, strict=True):
        np.testing.assert_array_equal(one.rendered, alone.rendered)
    assert len({float(w.rendered.sum()) for w in wanted}) > 1


def test_what_cannot_run_is_said(fake_weights, monkeypatch):
    with pytest.raises(UsageError, match="no runtime 'tpu'; expected one of onnxruntime, openvino"):
        NetworkPair(fake_weights, runtime="tpu")
    with pytest.raises(CheckpointError, match="frame.onnx: onnxruntime cannot load it"):
        open_session("onnxruntime", b"no graph", 1, "frame.onnx")
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(sessions, "_openvino_core", sessions._openvino_core.__wrapped__)
    with pytest.raises(MissingExtraError, match=r'pip install "dmvton\[openvino\]"'):
        NetworkPair(fake_weights, runtime="openvino")


DROPPED = """
import faulthandler, gc, signal, subprocess
from dmvton.runtime import NetworkPair

faulthandler.enable()  # gives the thread a stack for signals, as pytest does
signal.signal(signal.SIGCHLD, lambda *_: None)
for _ in range(2):
    NetworkPair(threads=1, runtime="openvino")
    gc.collect()
for _ in range(5):
    subprocess.run(["true"])
print("alive")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="no such signal on this system")
def test_signals_arrive_after_openvino_networks_are_dropped():
    pytest.importorskip("openvino", reason='pip install "dmvton[openvino]"')
    command = [sys.executable, "-c", DROPPED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_openvino_says_what_it_cannot_load():
    pytest.importorskip("openvino", reason='pip install "dmvton[openvino]"')
    with pytest.raises(CheckpointError, match="frame.onnx: openvino cannot load it"):
        open_session("openvino", b"no graph", 1, "frame.onnx")
