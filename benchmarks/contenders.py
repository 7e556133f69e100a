"""Those that `dmvton bench` times: the student, the 2023 student and the whole try-on call."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import onnxruntime as ort

from benchmarks.export2023 import INPUTS, OUTPUTS, SIZE, exported
from benchmarks.harness import CheckFailed, Contender, Unavailable
from benchmarks.reference import compose
from dmvton.errors import CheckpointError, DmvtonError
from dmvton.runtime import DEFAULT_WEIGHTS, read_graph, read_manifest

if TYPE_CHECKING:
    from benchmarks.cost_volume import Form
    from dmvton.tryon import Garment, TryOn

TOLERANCE = 1e-3  # largest difference of a picture in [0, 1] that float32 in another order may give
FRAME = (480, 640)  # height, width of the camera frame of the whole call


class Sources(NamedTuple):
    """Where the contenders find what they need; plain strings do as well."""

    person: str | Path | None = None  # photo, for the whole call
    garment: str | Path | None = None  # photo, for the whole call
    weights: str | Path = DEFAULT_WEIGHTS  # folder of the student's graphs
    cache: str | Path | None = None  # folder for the graphs of the 2023 student; None: the user's


def load_graph(graph: bytes, threads: int) -> ort.InferenceSession:
    """A graph on the CPU whose idle threads rest, so that they do not slow the next contender."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def expect_close(name: str, got: np.ndarray, expected: np.ndarray) -> None:
    """Compares with a reference.

    Raises:
        CheckFailed: Another shape, or a difference above `TOLERANCE` (or not a number) somewhere.
    """
    if got.shape != expected.shape:
        raise CheckFailed(f"{name} has shape {got.shape}, expected {expected.shape}")
    error = float(np.abs(got - expected).max())
    if not error <= TOLERANCE:
        raise CheckFailed(
            f"{name} differs by {error:.2e} from the reference, allowed {TOLERANCE:.0e}"
        )


class Student:
    """The student's frame graph with the garment's features cached."""

    name = "student"
    device = "cpu"
    batch = 1

    def __init__(self, weights: str | Path = DEFAULT_WEIGHTS) -> None:
        """Takes the folder of the two graphs; nothing is read before `prepare`."""
        self.weights = Path(weights)
        self.resolution = "x".join(map(str, SIZE))

    def prepare(self, threads: int) -> None:
        """Loads both graphs and runs the garment's once."""
        try:
            manifest = read_manifest(self.weights)
            graphs = [read_graph(self.weights, manifest, part) for part in ("garment", "frame")]
        except CheckpointError as error:
            raise Unavailable(str(error)) from error
        height, width = manifest["size"]
        self.resolution = f"{height}x{width}"
        self._garment, self._frame = (load_graph(graph, threads) for graph in graphs)
        random = np.random.default_rng(0)
        coarse = random.random((2, 8, 6, 3), np.float32)
        # Smooth, because cv2.remap rounds positions to 1/32 pixel.
        pictures = [cv2.resize(c, (width, height)).clip(0, 1) for c in coarse]
        self._cloth_rows = pictures[1]
        self._person, self._cloth = (p.transpose(2, 0, 1)[None].copy() for p in pictures)
        self._features = self._encode()

    def run(self) -> dict[str, np.ndarray]:
        """Frame graph and composite at network size -> all outputs, and `image`."""
        return self._dress(self._features)

    def check(self) -> None:
        """The picture must be the composition, done over in numpy, of the other outputs."""
        out = self.run()
        image = out["image"]
        expect_close("image", image[0], compose(self._person, self._cloth, out))
        if image.min() < -TOLERANCE or image.max() > 1 + TOLERANCE:
            raise CheckFailed(
                f"image spans [{image.min():.3f}, {image.max():.3f}], expected [0, 1]"
            )

    def _encode(self) -> dict[str, np.ndarray]:
        names = [node.name for node in self._garment.get_outputs()]
        return dict(zip(names, self._garment.run(names, {"garment": self._cloth}), strict=True))

    def _dress(self, features: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        known = {"person": self._person, "garment": self._cloth, **features}
        feed = {node.name: known[node.name] for node in self._frame.get_inputs()}
        names = [node.name for node in self._frame.get_outputs()]
        out = dict(zip(names, self._frame.run(names, feed), strict=True))
        return out | {"image": self._composed(out)}

    def _composed(self, out: dict[str, np.ndarray]) -> np.ndarray:
        """The try-on picture (1, 3, H, W), as `reference.compose` makes it, but fast."""
        height, width = out["alpha"].shape[2:]
        x = (out["flow"][0, 0] + 1) * (width / 2) - 0.5
        y = (out["flow"][0, 1] + 1) * (height / 2) - 0.5
        border = cv2.BORDER_REPLICATE
        cloth = cv2.remap(self._cloth_rows, x, y, cv2.INTER_LINEAR, borderMode=border)
        cloth = (cloth.transpose(2, 0, 1)[None] * out["gain"]).clip(0, 1)
        rest = self._person + out["beta"] * (out["rendered"] - self._person)
        return rest + out["alpha"] * (cloth - rest)


class StudentUncached(Student):
    """The student with a new garment for every frame: both graphs."""

    name = "student-uncached"

    def run(self) -> dict[str, np.ndarray]:
        """Garment graph, frame graph and composite -> all outputs of the latter, and `image`."""
        return self._dress(self._encode())


class Student2023Graph:
    """The rebuilt 2023 student as a graph, timed whole as in its paper."""

    device = "cpu"
    batch = 1
    resolution = "x".join(map(str, SIZE))

    def __init__(self, form: "Form", cache: str | Path | None = None) -> None:
        """Takes the form of the cost volume ("plain" or "matmul") and the folder for the graphs."""
        self.name = f"dmvton2023-{form}"
        self._form = form
        self._cache = Path(cache) if cache else None

    def prepare(self, threads: int) -> None:
        """Loads the graph, exporting it first where the cache lacks it."""
        files = exported(self._form, self._cache)
        self._graph = load_graph(files.graph.read_bytes(), threads)
        with np.load(files.reference) as arrays:
            self._feed = {name: arrays[name] for name in INPUTS}
            self._expected = {name: arrays[name] for name in OUTPUTS}

    def run(self) -> list[np.ndarray]:
        """One frame -> the outputs in the order of `OUTPUTS`."""
        return self._graph.run(list(OUTPUTS), self._feed)

    def check(self) -> None:
        """Every output must be what torch gave when the graph was made."""
        for name, got in zip(OUTPUTS, self.run(), strict=True):
            expect_close(name, got, self._expected[name])


class WholeCall:
    """`TryOn` from frame to frame: crop, network, composite at the frame's own size."""

    name = "tryon"
    device = "cpu"
    batch = 1
    resolution = "x".join(map(str, FRAME))

    def __init__(self, sources: Sources) -> None:
        """Takes the two pictures and the weights; nothing is read before `prepare`."""
        self._sources = sources
        self._tryon: TryOn
        self._garment: Garment

    def prepare(self, threads: int) -> None:
        """Loads the network, the frame and the garment."""
        try:
            from dmvton import TryOn
        except ImportError as error:
            raise Unavailable(f"dmvton.TryOn cannot be imported ({error})") from error
        person = _picture(self._sources.person, "person")
        cloth = _picture(self._sources.garment, "garment")
        try:
            self._tryon = TryOn.load(self._sources.weights, threads=threads)
        except CheckpointError as error:
            raise Unavailable(str(error)) from error
        self._frame = camera_frame(person)
        try:
            self._garment = self._tryon.garment(cloth)
        except DmvtonError as error:
            raise CheckFailed(f"the garment is refused: {error}") from error

    def run(self) -> np.ndarray:
        """One frame -> (480, 640, 3) RGB uint8."""
        return self._tryon(self._frame, self._garment).image

    def check(self) -> None:
        """The frame keeps its form, part of it is dressed, its surroundings are untouched."""
        try:
            image = self.run()
        except DmvtonError as error:
            raise CheckFailed(f"the frame is refused: {error}") from error
        if image.shape != self._frame.shape or image.dtype != np.uint8:
            raise CheckFailed(
                f"got {image.dtype} {image.shape}, expected uint8 {self._frame.shape}"
            )
        changed = float((image != self._frame).any(-1).mean())
        if not 0.005 < changed < 0.9:
            raise CheckFailed(
                f"{changed:.1%} of the pixels changed, expected the garment's part of the frame"
            )


def camera_frame(picture: np.ndarray) -> np.ndarray:
    """A picture of any size fitted into a camera frame, its border repeated: (480, 640, 3)."""
    height, width = FRAME
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    margins = (top, height - size[1] - top, left, width - size[0] - left)
    return cv2.copyMakeBorder(fitted, *margins, cv2.BORDER_REPLICATE)


def _picture(file: str | Path | None, what: str) -> np.ndarray:
    """(H, W, 3) RGB uint8 of a picture file."""
    if file is None:
        raise Unavailable(f"no picture of a {what}: pass --{what} FILE")
    data = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if data is None:
        raise Unavailable(f"{file}: not a picture that can be read; pass --{what} FILE")
    return cv2.cvtColor(data, cv2.COLOR_BGR2RGB)


def contenders(sources: Sources) -> list[Contender]:
    """All contenders, those to be beaten first."""
    return [
        Student2023Graph("plain", sources.cache),
        Student2023Graph("matmul", sources.cache),
        StudentUncached(sources.weights),
        Student(sources.weights),
        WholeCall(sources),
    ]
