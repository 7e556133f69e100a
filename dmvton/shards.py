"""Random access to webdataset-style tar shards."""

import json
import tarfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

from dmvton.errors import DataError

CROP_ROWS, GARMENT_ROWS = 256, 320  # of the hips-up crop and a garment's canvas at scale 1


class RawSample(NamedTuple):
    """A decoded sample; pictures are RGB uint8, in sizes of canvases of scale 1."""

    person: np.ndarray  # (336, 256, 3)
    target: np.ndarray  # (336, 256, 3)
    person_mask: np.ndarray  # (336, 256) uint8
    target_mask: np.ndarray  # (336, 256) uint8
    parsing: np.ndarray  # (336, 256) uint8
    garment: np.ndarray  # (320, 240, 3)
    garment_mask: np.ndarray  # (320, 240) uint8
    flow: np.ndarray  # (168, 128, 2) float32, positions in garment pixels
    keypoints: np.ndarray  # (13, 3) float32, canvas pixels and visibility
    kind: str

    @property
    def crop_rows(self) -> int:
        """Height of the hips-up crop in the canvas."""
        return _crop_rows(self.garment)

    @property
    def crop(self) -> tuple[int, int]:
        """Height and width of the hips-up crop; it lies in the middle of the canvas."""
        return self.crop_rows, self.crop_rows * 3 // 4


def _crop_rows(garment: np.ndarray) -> int:
    """The crop's height by the garment's canvas, which has the same scale."""
    return round(CROP_ROWS * garment.shape[0] / GARMENT_ROWS)


def _picture(data: bytes, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
        raise DataError(f"{len(data)} bytes are not a picture")
    return image


class ShardReader:
    """Samples of a folder of shards by index; opens files lazily, so that workers can share it."""

    def __init__(self, root: Path, rows: int | None = None):
        """Indexes the shards.

        Args:
            root: folder with shard-*.tar.
            rows: height of the crop that is wanted; pictures at least twice as large are halved
                while they are decoded.

        Raises:
            DataError: there are no shards under `root`.
        """
        paths = sorted(Path(root).glob("shard-*.tar"))
        if not paths:
            raise DataError(
                f"no shard-*.tar in {root}; make some with `dmvton synth build --out {root}`"
            )
        self.entries: list[tuple[Path, dict[str, tuple[int, int]]]] = []
        for path in paths:
            self.entries += _index(path)
        self._files: dict[Path, BinaryIO] = {}
        self.reduce = 2 if rows and self._stored_rows() >= 2 * rows else 1

    def __len__(self) -> int:
        return len(self.entries)

    def _stored_rows(self) -> int:
        path, members = self.entries[0]
        return _crop_rows(_picture(self._read(path, members["garment_mask.png"])))

    def __getstate__(self):
        return {**self.__dict__, "_files": {}}

    def _read(self, path: Path, where: tuple[int, int]) -> bytes:
        if path not in self._files:
            self._files[path] = path.open("rb")
        file = self._files[path]
        file.seek(where[0])
        return file.read(where[1])

    def __getitem__(self, index: int) -> RawSample:
        """The sample.

        Raises:
            DataError: the shard is gone or the sample is damaged.
        """
        path, members = self.entries[index]
        try:
            return self._reduced(self._decode(path, members))
        except (OSError, ValueError, KeyError, cv2.error) as error:
            raise DataError(
                f"sample {index} in {path} is damaged ({type(error).__name__}: {error}); "
                "delete the shard and build again"
            ) from error

    def kind(self, index: int) -> str:
        """Product of a sample (A, B, C, D, ...), without its pictures."""
        path, members = self.entries[index]
        return json.loads(self._read(path, members["json"]))["kind"]

    def _decode(self, path: Path, members: dict[str, tuple[int, int]]) -> RawSample:
        data = {name: self._read(path, where) for name, where in members.items()}
        meta = json.loads(data["json"])
        maps = _picture(data["maps.png"])
        person_mask, target_mask, parsing = (np.ascontiguousarray(maps[..., i]) for i in range(3))
        flow = _picture(data["flow.png"], cv2.IMREAD_UNCHANGED)[..., :2].astype(np.float32)
        return RawSample(
            person=self._photo(data["person.jpg"]),
            target=self._photo(data["target.jpg"]),
            person_mask=person_mask,
            target_mask=target_mask,
            parsing=parsing,
            garment=self._photo(data["garment.jpg"]),
            garment_mask=_picture(data["garment_mask.png"], cv2.IMREAD_GRAYSCALE),
            flow=(flow - 32768) / 8,
            keypoints=np.array(meta["keypoints"], np.float32),
            kind=meta["kind"],
        )

    def _photo(self, data: bytes) -> np.ndarray:
        """RGB picture, reduced while it is decoded."""
        flag = cv2.IMREAD_COLOR if self.reduce == 1 else cv2.IMREAD_REDUCED_COLOR_2
        return cv2.cvtColor(_picture(data, flag), cv2.COLOR_BGR2RGB)

    def _reduced(self, raw: RawSample) -> RawSample:
        """Brings masks, flow and keypoints to the size of the reduced pictures."""
        if self.reduce == 1:
            return raw
        size, garment_size = raw.person.shape[1::-1], raw.garment.shape[1::-1]
        keypoints = raw.keypoints.copy()
        keypoints[:, :2] = (keypoints[:, :2] + 0.5) / 2 - 0.5
        flow = cv2.resize(raw.flow, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
        return raw._replace(
            person_mask=cv2.resize(raw.person_mask, size, interpolation=cv2.INTER_AREA),
            target_mask=cv2.resize(raw.target_mask, size, interpolation=cv2.INTER_AREA),
            parsing=cv2.resize(raw.parsing, size, interpolation=cv2.INTER_NEAREST),
            garment_mask=cv2.resize(raw.garment_mask, garment_size, interpolation=cv2.INTER_AREA),
            flow=(flow + 0.5) / 2 - 0.5,
            keypoints=keypoints,
        )


def _index(path: Path) -> list[tuple[Path, dict[str, tuple[int, int]]]]:
    """(path, {extension: (offset, size)}) of each sample in a shard."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                samples.setdefault(key, {})[extension] = (member.offset_data, member.size)
    except tarfile.TarError as error:
        raise DataError(
            f"{path} is not a readable shard ({error}); delete it and build again"
        ) from None
    return [(path, members) for _, members in sorted(samples.items())]
