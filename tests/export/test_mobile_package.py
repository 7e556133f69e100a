"""Conversions are written whole, agree with ONNX Runtime, and tell what is wrong."""

import hashlib
import json
import os
import shutil
from collections import Counter

import numpy as np
import onnxruntime as ort
import pytest

from dmvton.errors import CheckpointError, MissingExtraError, OutputError, UsageError
from dmvton.runtime import DEFAULT_WEIGHTS
from export.mobile import commands
from export.mobile.package import MANIFEST, convert, differences, opened
from export.mobile.samples import samples
from export.mobile.target import ConversionError, Options, Placement
from export.mobile.targets import TARGETS, target_of
from tests.export.mobile_graphs import answers, small_graph


class Copy:
    """A format that is ONNX under another name, off by `error` in its second output."""

    name, extra, packages = "copy", "export", ("onnxruntime",)
    precisions, sampling, device = ("fp32",), "native", "cpu"

    def __init__(self, error=0.0, hindrance=None, fails=False):
        self.error, self.hindrance, self.fails = error, hindrance, fails

    def convert(self, graph, folder, options):
        if self.fails:
            (folder / "half-written").write_text("x")
            raise ConversionError(f"{graph.name}: no such operator")
        shutil.copyfile(graph.onnx, folder / f"{graph.name}.copy")

    def obstacle(self):
        return self.hindrance

    def load(self, name, signature, folder, threads):
        return CopyRunner(folder / f"{name}.copy", signature, self.error)

    def placement(self, name, folder):
        return Placement(3, Counter(Nothing=1), "GridSample")


class CopyRunner:
    def __init__(self, path, signature, error):
        self.session, self.signature, self.error = ort.InferenceSession(path), signature, error

    def feed(self, inputs):
        self.inputs = dict(inputs)

    def run(self):
        self.outputs = self.session.run(list(self.signature.outputs), self.inputs)

    def read(self):
        self.outputs[1] = self.outputs[1] + np.float32(self.error)
        return dict(zip(self.signature.outputs, self.outputs, strict=True))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return small_graph(tmp_path_factory.mktemp("small"))


def test_folder_says_what_it_holds_and_opens_again(graph, tmp_path):
    target, out = Copy(), tmp_path / "new" / "copy"
    manifest = convert(target, [graph], Options(), answers(graph), out)
    assert sorted(p.name for p in out.iterdir()) == ["frame.copy", MANIFEST]
    assert json.loads((out / MANIFEST).read_text()) == json.loads(json.dumps(manifest))
    data = (out / "frame.copy").read_bytes()
    assert manifest["files"] == {
        "frame.copy": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    }
    assert manifest["versions"] == {"onnxruntime": ort.__version__}
    assert set(manifest["parity"]["frame"]) == {"picture", "peak"}
    package = opened(out, target)
    assert package.size == len(data)
    assert package.signatures["frame"] == graph.signature
    runner = target.load("frame", package.signatures["frame"], out, threads=1)
    assert all(d.largest == 0 for d in differences(runner, answers(graph, (3,))["frame"]).values())


@pytest.mark.parametrize("error", [2e-3, float("nan")])
def test_mismatch_leaves_the_folder_as_it_was(graph, tmp_path, error):
    (tmp_path / "frame.copy").write_bytes(b"the old one")
    with pytest.raises(CheckpointError, match="differ.*frame.peak.*nothing was written"):
        convert(Copy(error), [graph], Options(), answers(graph), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["frame.copy"]
    assert (tmp_path / "frame.copy").read_bytes() == b"the old one"


def test_format_that_cannot_run_here_says_so(graph, tmp_path):
    target = Copy(error=1, hindrance="runs on the moon alone")
    manifest = convert(target, [graph], Options(), {}, tmp_path)
    assert manifest["parity"] is None and manifest["not_run"] == "runs on the moon alone"


def test_failed_conversion_leaves_nothing(graph, tmp_path):
    with pytest.raises(ConversionError, match="no such operator"):
        convert(Copy(fails=True), [graph], Options(), answers(graph), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written(graph, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        convert(Copy(), [graph], Options(), answers(graph), tmp_path / "file" / "out")
    assert os.listdir(tmp_path) == ["file"]


def test_changed_file_foreign_folder_and_other_target_are_refused(graph, tmp_path):
    target = Copy()
    convert(target, [graph], Options(), answers(graph), tmp_path)
    (tmp_path / "frame.copy").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="frame.copy changed"):
        opened(tmp_path, target)
    with pytest.raises(CheckpointError, match="holds copy of format 1, expected ncnn"):
        convert(target, [graph], Options(), answers(graph), tmp_path)
        opened(tmp_path, TARGETS["ncnn"])
    for text in ("[]", "{", '{"format": 1}'):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(CheckpointError, match="no conversion that can be read"):
            opened(tmp_path, target)


def test_unknown_target_and_precision():
    with pytest.raises(UsageError, match="got target 'tpu', expected one of ncnn, litert"):
        target_of("tpu")
    with pytest.raises(UsageError, match="got precision fp16 for litert, expected fp32"):
        convert(TARGETS["litert"], [], Options(precision="fp16"), {}, None)


@pytest.mark.parametrize("name", ["ncnn", "litert", "executorch", "coreml", "openvino"])
def test_missing_converter_is_told_before_anything_is_done(name, tmp_path, monkeypatch):
    monkeypatch.setattr(type(TARGETS[name]), "packages", ("a_package_that_is_not_there",))
    with pytest.raises(MissingExtraError, match=r"a_package_that_is_not_there.*pip install \"dmv"):
        getattr(commands, name)(DEFAULT_WEIGHTS, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_samples_are_the_same_at_every_call():
    first, again = samples((32, 24), 2), samples((32, 24), 2)
    assert [s.person.shape for s in first] == [(1, 3, 32, 24)] * 2
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.person, b.person)
        np.testing.assert_array_equal(a.garment, b.garment)
    assert np.abs(first[0].person - first[1].person).max() > 0.1
    assert all(0 <= s.garment.min() and s.garment.max() <= 1 for s in first)
