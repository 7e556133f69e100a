"""The engine runner: against ONNX Runtime on a pretended GPU, and on a real one where there is."""

import json
import sys

import numpy as np
import pytest
from onnx import ModelProto

from dmvton.errors import CheckpointError, DeviceError, MissingExtraError
from dmvton.runtime import NetworkPair
from export.calibration import Sample
from export.folder import write_pair
from export.trt.cuda import Cuda
from export.trt.engines import Facts, write_engine, write_engines
from export.trt.runner import EnginePair
from tests.export.fake_gpu import SM, FakeLibrary, Status, fake_backend
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


def load(folder, library=None, **kind):
    """The engines on a pretended GPU."""
    library = library or FakeLibrary()
    return EnginePair(folder, fake_backend(library, **kind), Cuda(library))


def pictures(count, seed=0):
    return list(np.random.default_rng(seed).random((count, 1, 3, *SMALL), dtype=np.float32))


def assert_equal_layers(found, wanted):
    for name, value in wanted._asdict().items():
        np.testing.assert_allclose(getattr(found, name), value, atol=1e-5, err_msg=name)


def test_frames_and_garments_come_out_as_on_the_cpu(folder):
    engines = load(folder)
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

    engines, network = load(folder), NetworkPair(folder, threads=1)
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
    engines = load(folder)
    first, second, garment = pictures(3)
    features = engines.encode_garment(garment)
    one = engines.run(first, garment, features)
    kept = one.rendered.copy()
    engines.run(second, garment, features)
    np.testing.assert_array_equal(one.rendered, kept)


def test_frame_is_one_launch_and_the_garment_stays(folder):
    library = FakeLibrary()
    engines = load(folder, library)
    people, (garment,) = pictures(4), pictures(1, seed=1)
    features = engines.encode_garment(garment)
    engines.run(people[0], garment, features)
    library.launches = 0
    for person in people[1:]:
        library.copied.clear()
        engines.run(person, garment, features)
        assert [size for way, size in library.copied if way == "in"] == [person.nbytes]
    assert library.launches == 3


def test_all_is_freed(folder):
    library = FakeLibrary()
    with load(folder, library) as engines:
        assert library.left() > 10
        person, garment = pictures(2)
        features = engines.encode_garment(garment)
        engines.run(person, garment, features)
    assert library.left() == 0
    with pytest.raises(DeviceError, match="was closed; load it again"):
        engines.encode_garment(garment)


def test_what_cannot_be_freed_does_not_keep_the_rest(folder):
    library = FakeLibrary()
    engines = load(folder, library)
    library.failing["cudaStreamDestroy"] = Status.cudaErrorInvalidValue
    with pytest.raises(DeviceError, match="cudaStreamDestroy: cudaErrorInvalidValue"):
        engines.close()
    assert library.left() == len(library.streams) == 2


@pytest.mark.parametrize("call", [
    "cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaStreamSynchronize",
    "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate",
])  # fmt: skip
def test_pair_that_cannot_be_loaded_leaves_nothing(folder, call):
    library = FakeLibrary()
    library.failing[call] = Status.cudaErrorMemoryAllocation
    with pytest.raises(DeviceError, match=f"{call}: cudaErrorMemoryAllocation; the GPU may be out"):
        load(folder, library)
    assert library.left() == 0


def test_stream_is_usable_after_a_recording_that_failed():
    library = FakeLibrary()
    cuda = Cuda(library)
    stream, done = cuda.stream(), []

    def fails():
        library.add(lambda: done.append("recorded"), stream)
        raise CheckpointError("no such kernel")

    with pytest.raises(CheckpointError, match="no such kernel"):
        cuda.record(fails, stream)
    assert library.recording is None and not library.graphs
    graph = cuda.record(lambda: library.add(lambda: done.append("again"), stream), stream)
    cuda.launch(graph, stream)
    cuda.wait(stream)
    assert done == ["again"] and len(library.graphs) == 1


def test_upload_that_failed_is_made_again(folder):
    library = FakeLibrary()
    engines, network = load(folder, library), NetworkPair(folder, threads=1)
    person, garment, other = pictures(3)
    features, others = engines.encode_garment(garment), network.encode_garment(other)
    engines.run(person, garment, features)
    library.failing["cudaMemcpyAsync"] = Status.cudaErrorInvalidValue
    with pytest.raises(DeviceError, match="cudaMemcpyAsync"):
        engines.run(person, other, others)
    library.failing.clear()
    for cloth, known in ((garment, features), (other, others)):
        found = engines.run(person, cloth, known)
        assert_equal_layers(found, network.run(person, cloth, known))


def test_picture_of_another_size(folder):
    engines = load(folder)
    with pytest.raises(CheckpointError, match=r"garment: garment of shape \(1, 3, 1, 1\), .*takes"):
        engines.encode_garment(np.zeros((1, 3, 1, 1), np.float32))


def test_changed_mask_is_uploaded(folder):
    engines, network = load(folder), NetworkPair(folder, threads=1)
    person, garment = pictures(2)
    features = engines.encode_garment(garment)
    engines.run(person, garment, features)
    features["garment_mask"] = np.ones_like(features["garment_mask"])
    found = engines.run(person, garment, features)
    assert_equal_layers(found, network.run(person, garment, features))


def test_engine_of_another_version(folder):
    with pytest.raises(CheckpointError, match="built by tensorrt_rtx 1.0, this is .* 1.1"):
        load(folder, version="1.1")


def test_engine_that_is_none(folder):
    with pytest.raises(CheckpointError, match="garment: tensorrt_rtx 1.0 does not read"):
        load(folder, readable=False)


@pytest.mark.parametrize("bits, word", [(2, "UNSUPPORTED_CC"), (1, "VERSION_MISMATCH"), (64, "64")])
def test_engine_that_this_machine_does_not_run(folder, bits, word):
    with pytest.raises(DeviceError, match=rf"not an engine for this machine \({word}\)"):
        load(folder, invalid=bits)


def test_gpu_that_no_engine_is_for(folder):
    library = FakeLibrary()
    library.cudaDeviceGetAttribute = lambda part, _: (0, 12 if part == SM // 10 else 0)
    with pytest.raises(CheckpointError, match="no garment engine for SM120, only for SM80, SM89"):
        load(folder, library)
    assert library.left() == 0


def test_engines_of_two_networks(folder):
    model = ModelProto()
    model.CopyFrom(tiny_graphs()["garment.onnx"])
    kept = [output for output in model.graph.output if output.name != "garment_key"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    engines = [
        write_engine(folder, "garment", (SM,), model.SerializeToString()),
        write_engine(folder, "frame", (SM,), tiny_graphs()["frame.onnx"].SerializeToString()),
    ]
    write_engines(folder, Facts("tiny", SMALL, "fp32", "tensorrt_rtx 1.0", 1, {}), engines)
    with pytest.raises(CheckpointError, match="do not fit together, lacking garment_key"):
        load(folder)


def test_values_that_are_not_float32(folder):
    library = FakeLibrary()
    backend = fake_backend(library)
    backend.trt.DataType.FLOAT = "tensor(float16)"
    with pytest.raises(CheckpointError, match=r"is tensor\(float\), expected float32"):
        EnginePair(folder, backend, Cuda(library))


def test_values_that_are_not_finite(folder):
    engines = load(folder)
    person, garment = pictures(2)
    features = engines.encode_garment(garment)
    with pytest.raises(CheckpointError, match="not finite"):
        engines.run(np.full_like(person, np.nan), garment, features)


def test_engine_changed_by_one_bit(folder):
    path = folder / f"frame.sm80-sm{SM}.engine"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="frame.*the file was changed.*export tensorrt"):
        load(folder)


@pytest.mark.parametrize("key, value", [("precision", "fp16"), ("size", [32, 32]), ("name", "x")])
def test_manifest_changed_by_hand(folder, key, value):
    body = json.loads((folder / "engines.json").read_text())
    (folder / "engines.json").write_text(json.dumps(body | {key: value}))
    with pytest.raises(CheckpointError, match="changed after it was written"):
        load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "sha256": "0", "engines": [{}]}'])
def test_damaged_manifest(folder, text):
    (folder / "engines.json").write_text(text)
    with pytest.raises(CheckpointError, match="engines.json: damaged"):
        load(folder)


def test_folder_without_engines(tmp_path):
    with pytest.raises(CheckpointError, match="no engines.*dmvton export tensorrt"):
        load(tmp_path)


def real_gpu():
    """CUDA on a GPU, or why there is none."""
    try:
        return Cuda(), ""
    except (DeviceError, MissingExtraError) as error:
        return None, str(error)


def test_machine_without_a_gpu_is_told_so():
    library = FakeLibrary()
    library.failing["cudaSetDevice"] = Status.cudaErrorNoDevice
    with pytest.raises(DeviceError, match="cudaErrorNoDevice; expected an NVIDIA GPU.*ONNX pair"):
        Cuda(library)


def test_missing_bindings(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingExtraError, match=r"cuda-bindings.*dmvton\[tensorrt\]"):
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
    network = NetworkPair(folder, threads=1)
    with EnginePair(tmp_path / "engines", cuda=cuda) as engines:
        for _ in range(2):
            verdict = compare(network, engines, [sample], mean=5e-3)
            assert verdict.passed, verdict
