import io
import pickle
import tarfile

import numpy as np
import pytest

from dmvton.errors import DataError
from dmvton.shards import ShardReader
from tests.samples import make_sample, write_shards


@pytest.fixture
def folder(tmp_path):
    return write_shards(tmp_path / "shards")


def rewrite(path, change):
    """Writes a shard again with its members as `change` leaves them: a dict of name to bytes."""
    with tarfile.open(path) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar}
    change(members)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_reads_what_was_written(folder):
    reader = ShardReader(folder)
    assert len(reader) == 4
    for index in (3, 0, 2, 1, 0):
        sample, raw = make_sample(index), reader[index]
        assert np.abs(raw.person[..., ::-1].astype(int) - sample.person).mean() < 2  # JPEG
        assert np.abs(raw.target[..., ::-1].astype(int) - sample.target).mean() < 2
        assert np.abs(raw.garment[..., ::-1].astype(int) - sample.garment).mean() < 2
        for name in ("person_mask", "target_mask", "parsing", "garment_mask"):
            assert np.array_equal(getattr(raw, name), getattr(sample, name))
        assert np.array_equal(raw.flow, sample.flow / np.float32(8))
        assert np.array_equal(raw.keypoints, sample.keypoints)
        assert raw.kind == "C"


def test_reducing_halves_every_field_about_its_pixel_centres(folder):
    full, half = ShardReader(folder)[0], ShardReader(folder, rows=128)[0]
    assert half.person.shape == (168, 128, 3) and half.garment.shape == (160, 120, 3)
    for name in ("person_mask", "target_mask", "parsing"):
        assert getattr(half, name).shape == (168, 128)
    assert half.flow.shape == (84, 64, 2)
    area = full.person.reshape(168, 2, 128, 2, 3).astype(float).mean((1, 3))
    assert np.abs(half.person - area).mean() < 2
    flow = full.flow.reshape(84, 2, 64, 2, 2).mean((1, 3))
    assert np.abs(half.flow - ((flow + 0.5) / 2 - 0.5)).max() < 1e-4
    assert np.allclose(half.keypoints[:, :2], (full.keypoints[:, :2] + 0.5) / 2 - 0.5)


def test_a_copy_for_a_worker_opens_its_own_files(folder):
    reader = ShardReader(folder)
    wanted = reader[0]
    copy = pickle.loads(pickle.dumps(reader))
    assert not copy._files
    assert np.array_equal(copy[0].person, wanted.person)


def test_folder_without_shards_is_named(tmp_path):
    with pytest.raises(DataError, match=str(tmp_path)):
        ShardReader(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["garbage", "empty", "cut"])
def test_unreadable_shard_is_named(folder, damage):
    path = folder / "shard-00001.tar"
    data = path.read_bytes()
    path.write_bytes({"garbage": b"not a tar" * 300, "empty": b"", "cut": data[:5000]}[damage])
    with pytest.raises(DataError, match=str(path)):
        ShardReader(folder)


def test_shard_that_went_away_is_named(folder):
    reader = ShardReader(folder)
    path = folder / "shard-00001.tar"
    path.unlink()
    assert reader[0].kind == "C"
    with pytest.raises(DataError, match=str(path)):
        reader[3]


def overwrite(name, data):
    return lambda members: members.update({name: data})


@pytest.mark.parametrize(
    "change",
    [
        overwrite("00000001.person.jpg", b"no picture"),
        overwrite("00000001.maps.png", b""),
        overwrite("00000001.json", b"{"),
        overwrite("00000001.json", b'{"kind": "C"}'),
        lambda members: members.pop("00000001.flow.png"),
    ],
    ids=["picture", "empty", "json", "no keypoints", "no flow"],
)
def test_damaged_sample_is_named(folder, change):
    path = folder / "shard-00000.tar"
    rewrite(path, change)
    reader = ShardReader(folder)
    assert reader[0].kind == "C"
    with pytest.raises(DataError, match=f"sample 1 in {path}"):
        reader[1]
