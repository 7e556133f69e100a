"""From an ONNX graph to a TensorRT engine; precision is what the graph says (strongly typed)."""

from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from dmvton.errors import CheckpointError
from export.graph import WEIGHTED, parameter_count
from export.trt.backend import Backend

# What the kernels of a layer may add to an engine. Measured with TensorRT-RTX 1.7 at 256x192, on
# the garment and the frame graph: 31 and 62 kB in fp32, 72 and 107 kB in int8, and 248 and 209 kB
# with quantised depthwise convolutions.
CODE_PER_LAYER = 150_000


@dataclass(frozen=True)
class Target:
    """What an engine is built for."""

    sms: tuple[int, ...]
    """Compute capabilities, all in one engine; empty for the GPU of this machine."""
    max_batch: int = 1
    """Most pictures at once, where the graph has a dynamic batch."""
    optimise: int | None = None
    """Builder's optimisation level, 0 to 5; None is its default."""


def size_ceiling(model: ModelProto) -> int:
    """Most bytes that an engine of this graph should take.

    Its weights in fp32 and some kernel code for each layer. Quantised depthwise convolutions are
    expanded to dense ones and break it.
    """
    # By operator, not by initializer: quantised weights reach their layer through a node.
    layers = sum(node.op_type in WEIGHTED for node in model.graph.node)
    return 4 * parameter_count(model) + CODE_PER_LAYER * layers


def build_engine(
    backend: Backend, model: ModelProto, name: str, target: Target, cache: bytearray | None = None
) -> bytes:
    """Builds the engine of one graph.

    Args:
        backend: the TensorRT to use.
        model: of `dmvton export`; inputs keep their names.
        name: for messages.
        target: GPUs and batch.
        cache: timings of the classic TensorRT from earlier builds, replaced by the newer ones.

    Raises:
        CheckpointError: the graph is refused, or the engine is over its ceiling.
    """
    trt = backend.trt
    logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        first = parser.get_error(0)
        reason = f"{first.node_operator()} {first.node_name()}: {first.desc()}"
        raise _refused(name, backend, target, reason)
    config = builder.create_builder_config()
    if target.optimise is not None:
        config.builder_optimization_level = target.optimise
    _set_targets(config, backend, target)
    _set_profile(builder, network, config, target.max_batch)
    timings = _load_timings(config, backend, cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        reason = " | ".join(logger.errors[-2:]) or "no reason given"
        raise _refused(name, backend, target, reason)
    if timings is not None and cache is not None:
        cache[:] = bytes(config.get_timing_cache().serialize())
    data = bytes(engine)
    check_size(name, len(data), size_ceiling(model))
    return data


def check_size(name: str, size: int, ceiling: int) -> None:
    """Refuses an engine that has blown up.

    Raises:
        CheckpointError: it is over the ceiling.
    """
    if size > ceiling:
        raise CheckpointError(
            f"{name}: an engine of {size / 1e6:.1f} MB, expected at most {ceiling / 1e6:.1f} MB; "
            "most likely depthwise convolutions are quantised, which TensorRT expands; leave them "
            "in float, as `dmvton export int8` does"
        )


def _set_targets(config: Any, backend: Backend, target: Target) -> None:
    if not backend.ahead_of_time:
        return
    known = backend.targets()
    config.num_compute_capabilities = len(target.sms)
    for index, sm in enumerate(target.sms):
        config.set_compute_capability(known[sm], index)


def _set_profile(builder: Any, network: Any, config: Any, max_batch: int) -> None:
    """Batches from 1 to max_batch, best at 1, for inputs whose batch is open."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    if not any(-1 in tuple(tensor.shape) for tensor in inputs):
        return
    profile = builder.create_optimization_profile()
    for tensor in inputs:
        rest = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *rest), (1, *rest), (max_batch, *rest))
    config.add_optimization_profile(profile)


def _load_timings(config: Any, backend: Backend, cache: bytearray | None) -> Any:
    """Earlier timings; TensorRT-RTX measures nothing while it builds, and has none."""
    if backend.kind == "rtx" or cache is None:
        return None
    timings = config.create_timing_cache(bytes(cache))
    config.set_timing_cache(timings, False)
    return timings


def _logger(trt: Any) -> Any:
    """A logger that keeps errors for the exception, and prints nothing."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Logger()


def _refused(name: str, backend: Backend, target: Target, reason: str) -> CheckpointError:
    where = ", ".join(f"SM{sm}" for sm in target.sms) or "this GPU"
    return CheckpointError(
        f"{name}: {backend.version} does not build it for {where} ({reason}); export the pair "
        "again, or take another precision"
    )
