"""Measures a photo collection once: keypoints of every person, outlines of every garment.

The results for the project's own photos are committed (`banks/`); other photos need these commands.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from dmvton.files import write_text
from pose_synth import split as splitting
from pose_synth.ccp import ClothingCoParsing, SourceError
from pose_synth.garments import EVERY_CLASS, TOP_KINDS, garment_key, garment_paths
from pose_synth.outlines import OUTLINES, grabcut_mask, load_outlines, mask_outline, save_outlines
from pose_synth.persons import CANVAS, canvas_matrix, warp_to
from pose_synth.pose import BANK, BlazePose, PoseBank


def poses(data: Path, model: Path, out: Path = BANK) -> None:
    """Finds the keypoints of every photo of `data/ccp`, 0.1 s a photo.

    Args:
        data: folder with `ccp/`.
        model: `pose_landmark_full.tflite` out of the npm package `@mediapipe/pose` (Apache-2.0).
        out: bank to write.
    """
    source, net = ClothingCoParsing(data / "ccp"), BlazePose(model)
    kept, values, scores = [], [], []
    for key in tqdm(source.ids(), unit="photo"):
        try:
            found, score = net(source.photo(key))
        except SourceError as error:
            print(error)
            continue
        kept.append(key)
        values.append(found)
        scores.append(score)
    PoseBank.save(out, kept, np.stack(values), np.array(scores, np.float32))
    print(f"{out}: {len(kept)} photos")


def outlines(data: Path, out: Path = OUTLINES) -> None:
    """Finds the outline of every top in `data/clothing/train`, 0.2 s a photo; known ones are kept.

    Args:
        data: folder with `clothing/train/`.
        out: bank to write.
    """
    known = load_outlines(out)
    for path in tqdm(garment_paths(data / "clothing/train", TOP_KINDS), unit="photo"):
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photo is None:
            print(f"{path} can't be read as a picture; left out")
        elif garment_key(path) not in known:
            known[garment_key(path)] = mask_outline(grabcut_mask(photo))
    save_outlines(out, known)
    print(f"{out}: {len(known)} garments")


def split(data: Path, out: Path = splitting.FILE) -> None:
    """Assigns people and garments to train, val and test; near-duplicates stay together.

    Args:
        data: folder with `ccp/` and `clothing/train/`; its people must be in the pose bank.
        out: split file to write. Training on another split than the released one leaks its test.
    """
    source, bank = ClothingCoParsing(data / "ccp"), PoseBank.load()
    people = [k for k in source.ids() if k in bank.index]
    canvases = (
        warp_to(source.photo(k), canvas_matrix(bank.points(k)[0], 1.0), CANVAS) for k in people
    )
    paths = garment_paths(data / "clothing/train", EVERY_CLASS)
    photos = (cv2.imread(str(p), cv2.IMREAD_COLOR) for p in paths)
    parts = {}
    for kind, keys, pictures in (
        ("persons", people, canvases),
        ("garments", [garment_key(p) for p in paths], photos),
    ):
        thumbnails = np.stack([splitting.thumbnail(p) for p in pictures])
        parts[kind] = splitting.assign(splitting.groups(keys, thumbnails))
    write_text(out, json.dumps(parts, indent=0))
    print({kind: {name: len(keys) for name, keys in p.items()} for kind, p in parts.items()})
