"""Parses the photos without labels: trains the network, gates what it finds, writes the bank."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth import split
from pose_synth.ccp import ClothingCoParsing, SourceError
from pose_synth.labels import TOPS
from pose_synth.one_core import use_one_core
from pose_synth.parser_net import Canvas, Parsed, ParserNet, iou, parse, train
from pose_synth.parsings import ParsingBank
from pose_synth.persons import CANVAS, canvas_matrix, warp_to
from pose_synth.pose import PoseBank


@dataclass(frozen=True)
class ParsingGates:
    """What a parsing must show to be used; chosen on the validation photos."""

    min_agreement: float = 0.8
    """IoU of the top between the picture and its mirror image."""
    min_certainty: float = 0.6
    """Mean chance of the chosen class where the top is."""

    def reason_against(self, parsed: Parsed) -> str | None:
        """Why a parsing is not used; None where it is."""
        if parsed.agreement < self.min_agreement:
            return "mirror image differs"
        return "uncertain" if parsed.certainty < self.min_certainty else None


def _canvas(source: ClothingCoParsing, poses: PoseBank, key: str, labelled: bool) -> Canvas:
    photo = source.photo(key)
    matrix = canvas_matrix(poses.points(key)[0], 1.0)
    image = warp_to(photo, matrix, CANVAS)
    if not labelled:
        return Canvas(image, np.zeros(image.shape[:2], np.uint8))
    labels = source.parsing(key, photo.shape[:2])
    return Canvas(image, warp_to(labels, matrix, CANVAS, nearest=True))


def canvases(
    source: ClothingCoParsing, poses: PoseBank, keys: list[str], labelled: bool
) -> Iterator[tuple[str, Canvas]]:
    """(id, canvas) of the photos among `keys` that have labels, or of those that have none."""
    for key in tqdm(keys, unit="photo"):
        if source.has_parsing(key) != labelled or poses.points(key)[1] < 0.5:
            continue
        try:
            yield key, _canvas(source, poses, key, labelled)
        except SourceError:
            continue  # the bank of persons names it


def _report(net: ParserNet, held: list[Canvas], gates: ParsingGates) -> None:
    """Prints how well the gates tell good parsings of labelled photos from bad ones."""
    passed, failed = [], []
    for canvas in held:
        present = {Parsing(c) for c in np.unique(canvas.labels)}
        found = parse(net, canvas.image, present)
        truth, top = (np.isin(x, TOPS) for x in (canvas.labels, found.labels))
        (failed if gates.reason_against(found) else passed).append(iou(truth, top))
    for name, scores in (("passed", passed), ("failed", failed)):
        if scores:
            low, middle = np.quantile(scores, [0.1, 0.5])
            print(f"held-out photos that {name}: {len(scores)}, IoU of the top: median "
                  f"{middle:.3f}, tenth {low:.3f}")  # fmt: skip


def parse_all(data: Path, out: Path, steps: int, seed: int) -> None:
    """Trains on the labelled photos for training and writes the parsing of the other ones.

    Raises:
        DataError: no labelled photo, or none that the gates let pass.
    """
    use_one_core()
    torch.manual_seed(seed)
    source, poses, gates = ClothingCoParsing(data / "ccp"), PoseBank.load(), ParsingGates()
    keys = {part: split.select(source.ids(), "persons", part) for part in ("train", "val")}
    known = [c for _, c in canvases(source, poses, keys["train"], labelled=True)]
    if not known:
        raise DataError(f"{source.root}: no photo with pixel labels; expected annotations/")
    net = ParserNet()
    train(net, known, steps, seed)
    _report(net, [c for _, c in canvases(source, poses, keys["val"], labelled=True)], gates)
    found, reasons = {}, Counter()
    for key, canvas in canvases(source, poses, keys["train"], labelled=False):
        try:
            parsed = parse(net, canvas.image, source.image_tags(key))
        except SourceError:
            reasons["no tags"] += 1
            continue
        reason = gates.reason_against(parsed)
        if reason is None:
            found[key] = parsed.labels
        else:
            reasons[reason] += 1
    if not found:
        raise DataError(f"{source.root}: no parsing passes; left out: {dict(reasons)}")
    ParsingBank.save(out, found)
    print(f"{out}: {len(found)} photos; left out: {dict(reasons)}")
