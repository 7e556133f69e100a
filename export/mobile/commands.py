"""`dmvton export ncnn` and the like: one function a format."""

from pathlib import Path
from tempfile import TemporaryDirectory

from export.mobile.graphs import student_graphs
from export.mobile.package import convert, references
from export.mobile.samples import samples
from export.mobile.target import Options, Precision, Sampling, check, require
from export.mobile.targets import target_of
from export.pair import load_student, usual_size

PICTURES = 3  # pairs that a conversion is compared on


def run(
    name: str,
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None,
    data: Path | None,
    options: Options,
) -> None:
    """Converts a checkpoint and tells the size and the largest error.

    Raises:
        DmvtonError: as `export.mobile.package.convert`, or the checkpoint or the data is unusable.
    """
    target = target_of(name)
    check(target, options)
    require(target)  # before the work begins
    size = size or usual_size(load_student(checkpoint))
    pictures = samples(size, PICTURES, data)
    with TemporaryDirectory() as scratch:
        graphs = student_graphs(checkpoint, size, Path(scratch))
        known = references(graphs, [picture._asdict() for picture in pictures])
        manifest = convert(target, graphs, options, known, out)
    total = sum(entry["bytes"] for entry in manifest["files"].values())
    if manifest["parity"] is None:
        told = f"not run ({manifest['not_run']})"
    else:
        worst = max(max(by_name.values()) for by_name in manifest["parity"].values())
        told = f"largest error against ONNX Runtime {worst:.1e}"
    print(f"{out}: {total / 1e6:.1f} MB, {told}")


def ncnn(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    data: Path | None = None,
    precision: Precision = "fp32",
) -> None:
    """Exports a checkpoint for ncnn (Android, iOS, small computers).

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the files and their manifest.
        size: height and width, multiples of 16; those of its training if not given.
        data: folder of shards to compare on; drawn pictures by default.
        precision: type of the stored weights.
    """
    run("ncnn", checkpoint, out, size, data, Options(precision=precision))


def litert(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    data: Path | None = None,
    sampling: Sampling = "gather",
) -> None:
    """Exports a checkpoint for LiteRT, formerly TensorFlow Lite (Android).

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the files and their manifest.
        size: height and width, multiples of 16; those of its training if not given.
        data: folder of shards to compare on; drawn pictures by default.
        sampling: four gathers of rows for GridSample, or the converter's own form.
    """
    run("litert", checkpoint, out, size, data, Options(sampling=sampling))


def executorch(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    data: Path | None = None,
    sampling: Sampling = "native",
) -> None:
    """Exports a checkpoint for ExecuTorch with XNNPACK (Android, iOS).

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the files and their manifest.
        size: height and width, multiples of 16; those of its training if not given.
        data: folder of shards to compare on; drawn pictures by default.
        sampling: ExecuTorch's own GridSample, or four gathers of rows.
    """
    run("executorch", checkpoint, out, size, data, Options(sampling=sampling))


def coreml(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    data: Path | None = None,
    precision: Precision = "fp16",
    sampling: Sampling = "native",
) -> None:
    """Exports a checkpoint for Core ML (iPhone, iPad, Mac).

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the files and their manifest.
        size: height and width, multiples of 16; those of its training if not given.
        data: folder of shards to compare on; drawn pictures by default.
        precision: type of weights and arithmetic.
        sampling: Core ML's own resampling, or four gathers of rows.
    """
    run("coreml", checkpoint, out, size, data, Options(precision, sampling))


def web(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    data: Path | None = None,
) -> None:
    """Exports a checkpoint for ONNX Runtime Web (browsers).

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the files and their manifest.
        size: height and width, multiples of 16; those of its training if not given.
        data: folder of shards to compare on; drawn pictures by default.
    """
    run("web", checkpoint, out, size, data, Options())


def openvino(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    data: Path | None = None,
    precision: Precision = "fp32",
) -> None:
    """Exports a checkpoint for OpenVINO (desktop computers, servers).

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the files and their manifest.
        size: height and width, multiples of 16; those of its training if not given.
        data: folder of shards to compare on; drawn pictures by default.
        precision: type of the stored weights.
    """
    run("openvino", checkpoint, out, size, data, Options(precision=precision))
