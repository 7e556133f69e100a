"""The engine runner: against ONNX Runtime on a pretended GPU, and on a real one where there is."""

import json

import numpy as np
import pytest

from dmvton.errors import CheckpointError, MissingExtraError
from dmvton.runtime import NetworkPair
from export.calibration import Sample
from export.folder import write_pair
from export.trt.cuda import Cuda
from export.trt.engines import Facts, write_engine, write_engines
from export.trt.runner import EnginePair
from tests.export.fake_gpu import SM, FakeCuda, fake_backend
from tests.students import SMALL, tiny_graphs


@pytest.fixture
def folder(tmp_path):
    """Graphs as engines, and beside them as a pair for ONNX Runtime."""
    note = {"batch": "static", "precision": "fp32", "checkpoint": ""}
    write_pair(tiny_graphs(), tmp_path, "tiny", SMALL, note, {})
    engines = [
        write_engine(tmp_path, file.removesuffix(".onnx"), (80, SM), model.SerializeToString())
        for file, model in tiny_graphs().items()
    ]
    facts = Facts("tiny", SMALL, "fp32", "tensorrt_rtx 1.0", 1, {})
    write_engines(tmp_path, facts, engines)
    return tmp_path


def pictures(count, seed=0):
    return list(np.random.default_rng(seed).random((count, 1, 3, *SMALL), dtype=np.float32))


def assert_equal_layers(found, wanted):
    for name, value in wanted._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-5, err_msg=name)


def test_frames_and_garments_come_out_as_on_the_cpu(folder):
    cuda = FakeCuda()
    engines = EnginePair(folder, fake_backend(cuda), cuda)
    network = NetworkPair(folder, threads=1)
    assert (engines.size, engines.name) == (network.size, network.name)
    people, garments = pictures(5), pictures(2, seed=1)
    worn = [(g, engines.encode_garment(g)) for g in garments]
    for name, value in network.encode_garment(garments[1]).items():
        np.testing.assert_allclose(worn[1][1][name], value, atol=1e-5)
    for person, which in zip(people, (0, 0, 0, 1, 0), strict=True):
        garment, features = worn[which]
        found = engines.run(person, garment, features)
        assert_equal_layers(found, network.run(person, garment, features))


def test_polygraphy_tells_equal_from_different(folder):
    pytest.importorskip("polygraphy", reason='polygraphy: pip install "dmvton[tensorrt]"')
    from export.trt.compare import compare

    cuda = FakeCuda()
    engines, network = EnginePair(folder, fake_backend(cuda), cuda), NetworkPair(folder, threads=1)
    samples = [Sample(*pictures(3, seed), np.ones(SMALL, bool)) for seed in (0, 1)]
    same = compare(network, engines, samples)
    assert same.passed and max(same.largest.values()) < 1e-4

    class Brighter:
        name, encode_garment = "brighter", network.encode_garment

        def run(self, *given):
            layers = network.run(*given)
            return layers._replace(gain=layers.gain + 0.01)

    other = compare(network, Brighter(), samples)
    assert not other.passed
    assert other.mean["gain"] == pytest.approx(0.01, rel=1e-3) and other.mean["flow"] == 0


def test_results_outlive_the_next_frame(folder):
    cuda = FakeCuda()
    engines = EnginePair(folder, fake_backend(cuda), cuda)
    first, second, garment = pictures(3)
    features = engines.encode_garment(garment)
    one = engines.run(first, garment, features)
    kept = one.rendered.copy()
    engines.run(second, garment, features)
    np.testing.assert_array_equal(one.rendered, kept)


def test_frame_is_one_launch_and_the_garment_stays(folder):
    cuda = FakeCuda()
    engines = EnginePair(folder, fake_backend(cuda), cuda)
    people, (garment,) = pictures(4), pictures(1, seed=1)
    features = engines.encode_garment(garment)
    engines.run(people[0], garment, features)  # compiles
    assert cuda.launches == 0
    for person in people[1:]:
        cuda.copied.clear()
        engines.run(person, garment, features)
        assert [size for way, size in cuda.copied if way == "in"] == [person.nbytes]
    assert cuda.launches == 3


def test_changed_mask_is_uploaded(folder):
    cuda = FakeCuda()
    engines, network = EnginePair(folder, fake_backend(cuda), cuda), NetworkPair(folder, threads=1)
    person, garment = pictures(2)
    features = engines.encode_garment(garment)
    engines.run(person, garment, features)
    features["garment_mask"] = np.ones_like(features["garment_mask"])
    found = engines.run(person, garment, features)
    assert_equal_layers(found, network.run(person, garment, features))


def test_engine_of_another_version(folder):
    cuda = FakeCuda()
    with pytest.raises(CheckpointError, match="built by tensorrt_rtx 1.0, this is .* 1.1"):
        EnginePair(folder, fake_backend(cuda, version="1.1"), cuda)


def test_engine_that_this_gpu_does_not_read(folder):
    cuda = FakeCuda()
    with pytest.raises(CheckpointError, match=f"on SM{SM} does not read"):
        EnginePair(folder, fake_backend(cuda, readable=False), cuda)


def test_gpu_that_no_engine_is_for(folder):
    cuda = FakeCuda()
    cuda.compute_capability = lambda: 120
    with pytest.raises(CheckpointError, match="no garment engine for SM120, only for SM80, SM89"):
        EnginePair(folder, fake_backend(cuda), cuda)


def test_values_that_are_not_finite(folder):
    cuda = FakeCuda()
    engines = EnginePair(folder, fake_backend(cuda), cuda)
    person, garment = pictures(2)
    features = engines.encode_garment(garment)
    with pytest.raises(CheckpointError, match="not finite"):
        engines.run(np.full_like(person, np.nan), garment, features)


def test_engine_changed_by_one_bit(folder):
    path = folder / f"frame.sm80-sm{SM}.engine"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    cuda = FakeCuda()
    with pytest.raises(CheckpointError, match="frame.*the file was changed.*export tensorrt"):
        EnginePair(folder, fake_backend(cuda), cuda)


@pytest.mark.parametrize("key, value", [("precision", "fp16"), ("size", [32, 32]), ("name", "x")])
def test_manifest_changed_by_hand(folder, key, value):
    body = json.loads((folder / "engines.json").read_text())
    (folder / "engines.json").write_text(json.dumps(body | {key: value}))
    cuda = FakeCuda()
    with pytest.raises(CheckpointError, match="changed after it was written"):
        EnginePair(folder, fake_backend(cuda), cuda)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "sha256": "0", "engines": [{}]}'])
def test_damaged_manifest(folder, text):
    (folder / "engines.json").write_text(text)
    with pytest.raises(CheckpointError, match="engines.json: damaged"):
        EnginePair(folder, fake_backend(FakeCuda()), FakeCuda())


def test_folder_without_engines(tmp_path):
    with pytest.raises(CheckpointError, match="no engines.*dmvton export tensorrt"):
        EnginePair(tmp_path, fake_backend(FakeCuda()), FakeCuda())


def real_gpu():
    """CUDA on a GPU, or why there is none."""
    try:
        return Cuda(), ""
    except (CheckpointError, MissingExtraError) as error:
        return None, str(error)


def test_machine_without_a_gpu_is_told_so():
    if real_gpu()[0] is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises((CheckpointError, MissingExtraError), match="NVIDIA GPU|cuda-bindings"):
        Cuda()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_real_engine_agrees_with_the_cpu(folder, tmp_path, precision):
    cuda, reason = real_gpu()
    if cuda is None:
        pytest.skip(f"no GPU: {reason}")
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    from export.trt.commands import tensorrt
    from export.trt.compare import compare

    tensorrt(folder, tmp_path / "engines", precision, sm=str(cuda.compute_capability()))
    person, garment = pictures(2)
    sample = Sample(person, garment, person, np.ones(SMALL, bool))
    network, engines = NetworkPair(folder, threads=1), EnginePair(tmp_path / "engines")
    for _ in range(3):  # compiling, recording, replaying
        verdict = compare(network, engines, [sample], mean=5e-3)
        assert verdict.passed, verdict
