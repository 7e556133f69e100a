"""`dmvton export`: one command a format."""

import shutil
from pathlib import Path

from export.pair import export_pair, load_student


def onnx(checkpoint: Path, out: Path, size: tuple[int, int] = (256, 192)) -> None:
    """Exports a checkpoint as the ONNX pair of the runtime.

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for garment.onnx, frame.onnx and manifest.json.
        size: height and width, multiples of 16.
    """
    name = f"student-{size[0]}x{size[1]}"
    manifest = export_pair(load_student(checkpoint), size, out, name)
    for file in ("config.json", "model.safetensors"):
        if (checkpoint / file).resolve() != (out / file).resolve():
            shutil.copyfile(checkpoint / file, out / file)
    total = sum(f["bytes"] for f in manifest["files"].values())
    print(f"{out}: {total / 1e6:.1f} MB, largest error against torch {manifest['parity']}")


def main(argv: list[str] | None = None) -> None:
    """Runs one export command."""
    from jsonargparse import CLI

    CLI({"onnx": onnx}, args=argv, as_positional=False)
