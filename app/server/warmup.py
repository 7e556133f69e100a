"""Before the server says that it is ready: does this machine compute what the network means?"""

import numpy as np
import onnxruntime as ort

from app.gallery import EXAMPLE_PERSON, STATIC
from dmvton.crop import letterbox, sample
from dmvton.errors import CheckpointError
from dmvton.garment import encode
from dmvton.image_io import read_picture
from dmvton.runtime import NetworkPair, read_graph, read_manifest, to_tensor

TOLERANCE = 2e-3  # of values in [-1, 1]; half a grey level


def parity(network: NetworkPair) -> float:
    """Dress the example photo, and compare with the graph run as it is written.

    ONNX Runtime rewrites a graph for the processor at hand: it fuses nodes and picks kernels. The
    comparison runs the verified file without any of that.

    Returns:
        The largest difference of any layer.

    Raises:
        CheckpointError: it is over ``TOLERANCE``, or the network gives values that are not finite.
    """
    person = read_picture(EXAMPLE_PERSON).rgb
    garment = encode(network, read_picture(STATIC / "garments" / "striped.jpg"))
    height, width = person.shape[:2]
    crop = to_tensor(sample(person, letterbox(height, width, network.size), network.size))
    layers = network.run(crop, garment.tensor, garment.features)
    known = {"person": crop, "garment": garment.tensor, **garment.features}
    plain = _plain_session(network)
    feed = {node.name: known[node.name] for node in plain.get_inputs()}
    names = ["flow", "alpha", "beta", "rendered", "gain"]
    worst = 0.0
    for name, value in zip(names, plain.run(names, feed), strict=True):
        ours = getattr(layers, name)
        theirs = value[0].transpose(1, 2, 0).reshape(ours.shape)
        worst = max(worst, float(np.abs(ours - theirs).max()))
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"the optimised network differs from the plain one by {worst:.2g} on this machine, "
            f"expected at most {TOLERANCE}; use another version of onnxruntime than "
            f"{ort.__version__}"
        )
    return worst


def _plain_session(network: NetworkPair) -> ort.InferenceSession:
    data = read_graph(network.folder, read_manifest(network.folder), "frame")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
