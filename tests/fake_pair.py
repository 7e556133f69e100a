"""A pair of graphs with the interface of the real networks and answers that are known.

Its person is a saturated red rectangle, which is a torso: shoulders and hips are its corners. Its
garment is whatever is not white. It puts the garment's letterbox onto the rectangle.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (256, 192)
OPSET = 17
# Corner of the torso box (x, y) in its half sizes that each keypoint stands for: nose, shoulders,
# elbows, wrists, hips, knees, ankles, left one first; the person's left is the picture's right.
_CORNERS = [
    (0, -1.4),
    *[(1, -1), (-1, -1)],
    *[(1.3, 0), (-1.3, 0)],
    *[(1.3, 0.9), (-1.3, 0.9)],
    *[(1, 1), (-1, 1)],
    *[(0.7, 2), (-0.7, 2)],
    *[(0.7, 3), (-0.7, 3)],
]


class _Graph:
    """A graph under construction; every call adds a node and returns its output's name."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, kind=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def __call__(self, kind, *inputs, name=None, **attributes):
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def channel(self, image, index):
        start, stop, axis = (self.constant([k], np.int64) for k in (index, index + 1, 1))
        return self("Slice", image, start, stop, axis)

    def total(self, value):
        return self("ReduceSum", value, self.constant([2, 3], np.int64), keepdims=1)

    def model(self, inputs, outputs):
        def values(shapes):
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self.nodes, "fake", values(inputs), values(outputs), self.constants
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def _image(channels, size):
    return [1, channels, *size]


def garment_graph(size=SIZE):
    """Mask: 1 where the darkest channel is clearly under white."""
    g = _Graph()
    darkest = g("ReduceMin", "garment", axes=[1], keepdims=1)
    dark = g("Sub", g.constant(0.95), darkest)
    g("Clip", g("Mul", dark, g.constant(20)), *_unit(g), name="garment_mask")
    g(
        "AveragePool",
        "garment",
        kernel_shape=[16, 16],
        strides=[16, 16],
        name="garment_feat16",
    )
    feature = _image(3, (size[0] // 16, size[1] // 16))
    return g.model(
        {"garment": _image(3, size)},
        {"garment_mask": _image(1, size), "garment_feat16": feature},
    )


def _unit(g):
    return g.constant(0), g.constant(1)


def frame_graph(size=SIZE, beta=0.0, gain=1.0, rendered=(0.0, 0.0, 0.0)):
    """The torso's corners from the moments of redness; the garment onto the torso."""
    g = _Graph()
    height, width = size
    xs = g.constant(((2 * np.arange(width) + 1) / width - 1)[None, None, None])
    ys = g.constant(((2 * np.arange(height) + 1) / height - 1)[None, None, :, None])
    red = _redness(g)
    mass = g("Add", g.total(red), g.constant(1e-3))
    middle, half = {}, {}
    for axis, grid in (("x", xs), ("y", ys)):
        mean = g("Div", g.total(g("Mul", red, grid)), mass)
        off = g("Sub", grid, mean)
        variance = g("Div", g.total(g("Mul", red, g("Mul", off, off))), mass)
        middle[axis] = mean
        # A rectangle's half side is sqrt(3) standard deviations.
        half[axis] = g("Sqrt", g("Add", g("Mul", variance, g.constant(3)), g.constant(1e-6)))
    presence = g("Clip", g("Div", mass, g.constant(0.01 * height * width)), *_unit(g))
    g("Reshape", presence, g.constant([1, 1], np.int64), name="presence")
    _keypoints(g, middle, half, presence)
    _layers(g, size, red, (xs, ys), middle, half, beta, gain, rendered)
    features = _image(3, (height // 16, width // 16))
    return g.model(
        {
            "person": _image(3, size),
            "garment": _image(3, size),
            "garment_mask": _image(1, size),
            "garment_feat16": features,
        },
        {
            **{name: _image(3, size) for name in ("rendered", "gain")},
            **{name: _image(1, size) for name in ("alpha", "beta")},
            "flow": _image(2, size),
            "keypoints": [1, 13, 3],
            "presence": [1, 1],
        },
    )


def _redness(g):
    """1 where red is far above green and blue, (1, 1, h, w)."""
    others = g("Max", g.channel("person", 1), g.channel("person", 2))
    over = g("Sub", g("Sub", g.channel("person", 0), others), g.constant(0.5))
    return g("Clip", g("Mul", over, g.constant(10)), *_unit(g))


def _keypoints(g, middle, half, presence):
    columns = []
    for axis, index in (("x", 0), ("y", 1)):
        corner = g.constant(np.array([c[index] for c in _CORNERS]).reshape(1, 13, 1, 1))
        columns.append(g("Add", middle[axis], g("Mul", half[axis], corner)))
    columns.append(g("Mul", presence, g.constant(np.ones((1, 13, 1, 1)))))
    joined = g("Concat", *columns, axis=2)  # (1, 13, 3, 1)
    g("Reshape", joined, g.constant([1, 13, 3], np.int64), name="keypoints")


def _layers(g, size, red, grids, middle, half, beta, gain, rendered):
    def flat(value, channels, name):
        value = np.asarray(value, np.float32).reshape(1, -1, 1, 1)
        g("Identity", g.constant(np.broadcast_to(value, _image(channels, size))), name=name)

    target = g.constant(_image(1, size), np.int64)
    ways = []
    for axis, grid in zip("xy", grids, strict=True):
        way = g("Div", g("Sub", grid, middle[axis]), half[axis])
        ways.append(g("Expand", g("Clip", way, g.constant(-1), g.constant(1)), target))
    g("Concat", *ways, axis=1, name="flow")
    g("Mul", red, g.constant(1), name="alpha")
    flat(beta, 1, "beta")
    flat(gain, 3, "gain")
    value = np.asarray(rendered, np.float32).reshape(1, -1, 1, 1)
    # Uses all of the garment, as the real one does.
    seen = g("ReduceMean", g("Mul", "garment", "garment_mask"), keepdims=1)
    unused = g("Mul", g("Add", g("ReduceMean", "garment_feat16", keepdims=1), seen), g.constant(0))
    picture = g.constant(np.broadcast_to(value, _image(3, size)))
    g("Add", picture, unused, name="rendered")


def write_pair(folder: Path, size=SIZE, **layers) -> Path:
    """Write the graphs and their manifest into a folder; ``layers`` as in ``frame_graph``."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {"garment.onnx": garment_graph(size), "frame.onnx": frame_graph(size, **layers)}
    for name, data in graphs.items():
        (folder / name).write_bytes(data)
    write_manifest(folder, size)
    return folder


def write_manifest(folder: Path, size=SIZE) -> None:
    """Describe the two graphs of a folder as they are now."""
    files = {}
    for name in ("garment.onnx", "frame.onnx"):
        data = (folder / name).read_bytes()
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest = {"format": 1, "name": "fake", "size": list(size), "opset": OPSET, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def person_picture(height, width, torso, background=(60, 90, 60)):
    """A picture with a red torso (x, y, width, height): (height, width, 3) uint8."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = background
    if torso is not None:
        x, y, w, h = torso
        picture[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = (230, 20, 20)
    return picture


def garment_picture(height=400, width=300):
    """A blue and yellow striped square on white: (height, width, 3) uint8."""
    picture = np.full((height, width, 3), 255, np.uint8)
    inner = picture[height // 5 : -height // 5, width // 5 : -width // 5]
    inner[:] = (30, 60, 200)
    inner[:, ::16] = (240, 220, 40)
    return picture
