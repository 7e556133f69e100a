"""Saving: all of a picture or nothing, and known beforehand whether it can be."""

import os

import numpy as np
import pytest
from PIL import Image

from dmvton.errors import OutputError
from dmvton.image_io import check_writable, read_picture, save_image

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 30, 3), np.uint8)
SMOOTH = np.dstack([*np.meshgrid(np.arange(30) * 8, np.arange(40) * 6), np.full((40, 30), 90)])
SMOOTH = SMOOTH.astype(np.uint8)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".jpeg", ".webp", ".PNG"])
def test_saved_and_read_again(tmp_path, ending):
    path = save_image(tmp_path / f"out{ending}", SMOOTH)
    assert np.abs(read_picture(path).rgb.astype(int) - SMOOTH).mean() < 3
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_saved_file_has_ordinary_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    saved = save_image(tmp_path / "out.png", SMOOTH)
    assert saved.stat().st_mode == plain.stat().st_mode


def test_link_keeps_pointing_at_the_file_that_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    real = save_image(tmp_path / "elsewhere" / "real.png", SMOOTH)
    link = tmp_path / "link.png"
    link.symlink_to(real)
    save_image(link, NOISE)
    assert link.is_symlink()
    np.testing.assert_array_equal(read_picture(real).rgb, NOISE)


@pytest.mark.parametrize("name", ["out.gif", "out", "absent/out.png", "file/out.png", "folder.png"])
def test_unwritable_output_is_known_beforehand(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError):
        check_writable(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_special_file_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="not a file"):
        check_writable(pipe)


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_failure_while_saving_leaves_what_was_there(tmp_path, monkeypatch, failing):
    path = save_image(tmp_path / "out.png", SMOOTH)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    def half_written(image, file, *args, **kwargs):
        file.write(b"half")
        full()

    if failing == "write":
        monkeypatch.setattr(Image.Image, "save", half_written)
    else:
        monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_image(path, NOISE)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]
