"""Reading strange and hostile pictures."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dmvton.errors import ImageError
from dmvton.image_io import Limits, read_picture

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 30, 3), np.uint8)
SMOOTH = np.dstack([*np.meshgrid(np.arange(30) * 8, np.arange(40) * 6), np.full((40, 30), 90)])
SMOOTH = SMOOTH.astype(np.uint8)


def encoded(image, kind="PNG", **options):
    """The bytes of a picture file."""
    buffer = BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width, height, depth, colour, rows):
    """The bytes of a PNG with this header; ``rows`` are its raw filtered rows."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(rows)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_files_arrive_to_the_bit(kind):
    picture = read_picture(encoded(NOISE, kind, lossless=True))
    np.testing.assert_array_equal(picture.rgb, NOISE)
    assert picture.alpha is None


def test_jpeg_by_path_whatever_its_name(tmp_path):
    path = tmp_path / "photo.dat"
    path.write_bytes(encoded(SMOOTH, "JPEG", quality=95))
    assert np.abs(read_picture(path).rgb.astype(int) - SMOOTH).mean() < 3


def test_array_is_taken_as_it_is():
    assert read_picture(NOISE).rgb is NOISE


def test_array_that_is_a_view_becomes_contiguous():
    mirrored = read_picture(NOISE[:, ::-1]).rgb
    assert mirrored.flags.c_contiguous
    np.testing.assert_array_equal(mirrored, NOISE[:, ::-1])


def test_grey_array_becomes_rgb():
    grey = NOISE[..., 0]
    np.testing.assert_array_equal(read_picture(grey).rgb, np.dstack([grey] * 3))


@pytest.mark.parametrize(
    "array",
    [
        NOISE.astype(np.float32),
        NOISE[..., :2],
        NOISE[None],
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 0, 3), np.uint8),
        np.zeros((1, 500, 3), np.uint8),
        np.zeros(7, np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array):
    with pytest.raises(ImageError, match="expected"):
        read_picture(array)


def test_text_named_jpg(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_text("this is not a photo\n" * 100)
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP"):
        read_picture(path)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(kind):
    with pytest.raises(ImageError, match="not a JPEG, PNG or WebP"):
        read_picture(encoded(NOISE, kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated(kind, share):
    data = encoded(RNG.integers(0, 256, (200, 200, 3), np.uint8), kind)
    with pytest.raises(ImageError, match="damaged or cut short|not a JPEG"):
        read_picture(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_bytes_flipped_at_random_give_a_picture_or_an_image_error(kind):
    data = encoded(SMOOTH, kind)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(300):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 4):
            broken[at] = rng.integers(256)
        try:
            outcomes.add(read_picture(bytes(broken)).rgb.dtype.name)
        except ImageError:
            outcomes.add("ImageError")
    assert "ImageError" in outcomes and outcomes <= {"uint8", "ImageError"}


def test_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(ImageError, match="empty"):
        read_picture(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_picture(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="is not a file"):
        read_picture(tmp_path)


def test_zero_width_png():
    with pytest.raises(ImageError):
        read_picture(png(0, 10, 8, 2, b"\0" * 10))


def test_bomb_is_refused_from_its_header():
    """20,000 x 20,000 pixels in 50 kB: refused although it never would decode to the end."""
    bomb = png(20_000, 20_000, 1, 0, b"\0" * 2501 * 20_000)
    assert len(bomb) < 100_000
    with pytest.raises(ImageError, match="pixels, at most 50 million"):
        read_picture(bomb)
    only_header = png(20_000, 20_000, 8, 2, b"")
    with pytest.raises(ImageError, match="pixels, at most 50 million"):
        read_picture(only_header)


def test_below_pillows_bound_ours_counts_and_nothing_is_warned(recwarn):
    with pytest.raises(ImageError, match="10000x10000 pixels, at most 50 million"):
        read_picture(png(10_000, 10_000, 8, 2, b""))
    assert not recwarn.list


def test_too_many_bytes(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(encoded(NOISE))
    with pytest.raises(ImageError, match="larger than"):
        read_picture(path, Limits(max_bytes=1000))


def test_too_long_a_side():
    with pytest.raises(ImageError, match="at most 30000 a side"):
        read_picture(png(40_000, 20, 8, 0, b""))


def test_cmyk_jpeg():
    data = encoded(Image.fromarray(SMOOTH).convert("CMYK"), "JPEG", quality=95)
    assert Image.open(BytesIO(data)).mode == "CMYK"
    assert np.abs(read_picture(data).rgb.astype(int) - SMOOTH).mean() < 4


def test_sixteen_bit_grey():
    grey = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64
    rgb = read_picture(encoded(grey)).rgb
    np.testing.assert_array_equal(rgb, np.dstack([(grey >> 8).astype(np.uint8)] * 3))


def test_sixteen_bit_rgb():
    values = RNG.integers(0, 2**16, (20, 20, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    rgb = read_picture(png(20, 20, 16, 2, rows)).rgb
    assert np.abs(rgb.astype(int) - (values >> 8)).max() <= 1


def test_alpha_lies_over_white_and_is_kept():
    alpha = np.zeros((40, 30), np.uint8)
    alpha[10:30], alpha[20:30] = 128, 255
    picture = read_picture(encoded(np.dstack([NOISE, alpha])))
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert (picture.rgb[:10] == 255).all()
    np.testing.assert_array_equal(picture.rgb[20:30], NOISE[20:30])
    half = (NOISE[10:20].astype(int) + 255) / 2
    assert np.abs(picture.rgb[10:20] - half).max() <= 1.5


def test_opaque_alpha_is_no_alpha():
    opaque = np.dstack([NOISE, np.full((40, 30), 255, np.uint8)])
    picture = read_picture(opaque)
    np.testing.assert_array_equal(picture.rgb, NOISE)
    assert picture.alpha is None


def test_transparent_palette_entry():
    palette = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 100).reshape(20, 20), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    picture = read_picture(encoded(palette, transparency=1))
    assert tuple(picture.rgb[0, 0]) == (255, 0, 0)
    assert tuple(picture.rgb[6, 0]) == (255, 255, 255)
    assert picture.alpha[0, 0] == 255 and picture.alpha[6, 0] == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "YCbCr"])
def test_every_mode_gives_rgb(mode):
    kind = "JPEG" if mode == "YCbCr" else "PNG"
    picture = read_picture(encoded(Image.fromarray(SMOOTH).convert(mode), kind))
    assert picture.rgb.shape == (40, 30, 3) and picture.rgb.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed(orientation):
    """The same upright picture, stored in each of the eight ways."""
    turned = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turned[orientation](NOISE))
    np.testing.assert_array_equal(read_picture(encoded(stored, exif=exif)).rgb, NOISE)


def test_broken_exif_does_not_spoil_a_sound_photo(recwarn):
    data = encoded(SMOOTH, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert read_picture(data).rgb.shape == SMOOTH.shape
    assert not recwarn.list


def test_phone_photo_with_a_second_picture_in_it():
    first, second = Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert Image.open(BytesIO(data)).format == "MPO"
    assert np.abs(read_picture(data).rgb.astype(int) - SMOOTH).mean() < 3


def test_first_frame_of_an_animation():
    first, second = Image.fromarray(NOISE), Image.fromarray(255 - NOISE)
    data = encoded(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    np.testing.assert_array_equal(read_picture(data).rgb, NOISE)
