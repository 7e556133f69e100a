"""The engine without any network: streams, photos, garments, and that nobody sees another's."""

import threading

import numpy as np
import pytest
from PIL import Image

from app.engine import Engine, EngineLimits
from app.engine.codec import Encoding, decode, encode, labelled
from app.engine.engine import ExpiredError
from app.engine.garments import UnknownGarmentError, garment_id
from app.engine.live import Live
from app.engine.pool import BusyError
from dmvton.errors import GarmentError, ImageError, NoPersonError, UsageError
from dmvton.image_io import Limits, Picture
from tests.fake_pair import person_picture
from tests.serving import GARMENT, NOBODY, PERSON, decoded, encoded

EXACT = Encoding("png")


@pytest.fixture
def engine(fake_tryon):
    made = Engine(fake_tryon, EngineLimits(streams=8, pause_s=0, age_s=60), workers=3)
    yield made
    made.shutdown()


def worn(engine, picture):
    return engine.garment(encoded(picture)).result(30)[1]


def dressed(engine, stream, picture):
    seen = engine.look(stream, encoded(picture)).result(30)
    return engine.draw(stream, seen, EXACT).result(30)


def coloured_garment(seed):
    """A garment of a colour of its own."""
    picture = GARMENT.copy()
    picture[(picture != 255).any(-1)] = np.random.default_rng(seed).integers(0, 200, 3)
    return picture


def walk(seed, frames=6):
    """Frames of somebody who walks before a ground of their own."""
    rng = np.random.default_rng(seed)
    ground = tuple(int(c) for c in rng.integers(0, 120, 3))
    x, y = (int(v) for v in rng.integers(40, 100, 2))
    return [person_picture(300, 240, (x + 3 * n, y + n, 70, 90), ground) for n in range(frames)]


# Nobody sees another's


def test_streams_in_parallel_equal_each_alone(engine, fake_tryon):
    """Eight people in eight garments at once: to the bit what each gets with nobody else there."""
    results = {}

    def visit(seed):
        stream = engine.open()
        stream.live.garment = worn(engine, coloured_garment(seed))
        results[seed] = [decoded(dressed(engine, stream, frame).data) for frame in walk(seed)]
        engine.close(stream)

    visitors = [threading.Thread(target=visit, args=(seed,)) for seed in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(60)
    for seed in range(8):
        alone = Live(fake_tryon)
        alone.garment = fake_tryon.garment(coloured_garment(seed))
        for frame, found in zip(walk(seed), results[seed], strict=True):
            np.testing.assert_array_equal(found, alone.step(frame).image)
            rows, columns = np.nonzero((frame == (230, 20, 20)).all(-1))
            outside = np.ones(found.shape[:2], bool)
            outside[rows.min() - 9 : rows.max() + 9, columns.min() - 9 : columns.max() + 9] = False
            np.testing.assert_array_equal(found[outside], frame[outside])


def test_photos_in_parallel_equal_each_alone(engine, fake_tryon):
    garments = [worn(engine, coloured_garment(seed)) for seed in range(4)]
    frames = [walk(seed, 1)[0] for seed in range(4)]
    jobs = [
        (n % 4, n // 4 % 4, engine.photo(encoded(frames[n % 4]), garments[n // 4 % 4], EXACT))
        for n in range(16)
    ]
    for person, garment, job in jobs:
        alone = fake_tryon(frames[person], garments[garment]).image
        np.testing.assert_array_equal(decoded(job.result(30).data), alone)


# Streams


def test_frame_is_dressed_and_its_times_are_told(engine):
    stream = engine.open()
    stream.live.garment = worn(engine, GARMENT)
    framed = dressed(engine, stream, PERSON)
    assert framed.person and (framed.height, framed.width) == PERSON.shape[:2]
    assert set(framed.stages_s) == {"wait", "decode", "network", "draw", "encode"}
    assert 0 < sum(framed.stages_s.values()) and framed.age_s > framed.stages_s["network"]


def test_nobody_in_view_gives_the_frame_back(engine):
    stream = engine.open()
    stream.live.garment = worn(engine, GARMENT)
    framed = dressed(engine, stream, NOBODY)
    assert not framed.person
    np.testing.assert_array_equal(decoded(framed.data), NOBODY)


def test_garment_is_switched_in_the_middle(engine):
    stream, garments = engine.open(), [worn(engine, coloured_garment(n)) for n in range(2)]
    found = []
    for garment in (garments[0], garments[1], garments[0]):
        stream.live.garment = garment
        found.append(decoded(dressed(engine, stream, PERSON).data))
    colours = [coloured_garment(n)[100, 75] for n in range(2)]
    assert (colours[0] != colours[1]).any()
    for picture, colour in zip(found, (colours[0], colours[1], colours[0]), strict=True):
        assert np.abs(picture[145, 115].astype(int) - colour).max() <= 1  # in the torso's middle


def test_unusable_frame_does_not_end_the_stream(engine):
    stream = engine.open()
    stream.live.garment = worn(engine, GARMENT)
    with pytest.raises(ImageError):
        engine.look(stream, b"no picture").result(30)
    assert dressed(engine, stream, PERSON).person


def test_places_are_bounded_and_come_free(fake_tryon):
    engine = Engine(fake_tryon, EngineLimits(streams=2, pause_s=0), workers=1)
    first, _ = engine.open(), engine.open()
    with pytest.raises(BusyError, match="all 2 streams"):
        engine.open()
    engine.close(first)
    engine.open()
    engine.shutdown()


def test_idle_stream_expires(fake_tryon):
    engine = Engine(fake_tryon, EngineLimits(idle_s=-1), workers=1)
    stream = engine.open()
    with pytest.raises(ExpiredError, match="idle"):
        engine.look(stream, encoded(PERSON))
    engine.shutdown()


def test_large_frame_is_shrunk_and_huge_one_refused(fake_tryon):
    frame = Limits(max_pixels=100_000)
    engine = Engine(fake_tryon, EngineLimits(frame=frame, frame_side=150), workers=1)
    stream = engine.open()
    stream.live.garment = worn(engine, GARMENT)
    small = dressed(engine, stream, PERSON)
    assert (small.height, small.width) == (150, 120)
    with pytest.raises(ImageError, match="pixels"):
        engine.look(stream, encoded(np.zeros((400, 400, 3), np.uint8))).result(30)
    engine.shutdown()


# Photos and garments


def test_photo_of_nobody_is_refused(engine):
    with pytest.raises(NoPersonError):
        engine.photo(encoded(NOBODY), worn(engine, GARMENT), EXACT).result(30)


def test_same_garment_has_the_same_id_and_is_encoded_once(engine, monkeypatch):
    key, garment = engine.garment(encoded(GARMENT)).result(30)
    monkeypatch.setattr("app.engine.engine.encode_garment", None)
    assert engine.garment(encoded(GARMENT)).result(30) == (key, garment)
    assert engine.garments.get(key) is garment


def test_ids_differ_by_photo_and_by_owner():
    ids = {garment_id(photo, owner) for photo in (b"a", b"b") for owner in ("", "anna", "bert")}
    assert len(ids) == 6


def test_garments_are_bounded(fake_tryon):
    engine = Engine(fake_tryon, EngineLimits(garments=2, garment_side=100), workers=1)
    keys = [engine.garment(encoded(coloured_garment(n))).result(30)[0] for n in range(2)]
    engine.garments.get(keys[0])  # used last
    engine.garment(encoded(coloured_garment(3))).result(30)
    assert engine.garments.get(keys[0]).photo.image.shape == (100, 75, 3)
    with pytest.raises(UnknownGarmentError, match="not kept"):
        engine.garments.get(keys[1])
    engine.shutdown()


def test_blank_garment_is_refused_and_not_kept(engine):
    with pytest.raises(GarmentError):
        engine.garment(encoded(np.full((200, 150, 3), 255, np.uint8))).result(30)
    assert len(engine.garments) == 0


# Encoded pictures


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_result_says_that_a_model_made_it_and_nothing_of_the_input(kind):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    picture = decode(encoded(PERSON, "JPEG", exif=exif), Limits())
    data = encode(picture.rgb, Encoding(kind))
    assert b"compositeWithTrainedAlgorithmicMedia" in data and b"taken at home" not in data
    assert b"trained" not in encode(picture.rgb, Encoding(kind, provenance=False)).lower()


def test_label_is_in_the_corner_and_the_picture_given_stays():
    before = PERSON.copy()
    shown = labelled(PERSON)
    np.testing.assert_array_equal(PERSON, before)
    rows, columns = np.nonzero((shown != PERSON).any(-1))
    assert rows.min() > 250 and columns.max() < 150
    np.testing.assert_array_equal(decoded(encode(PERSON, Encoding("png", label=True))), shown)


def test_cut_out_is_shrunk_with_its_mask():
    rgba = np.dstack([GARMENT, np.full(GARMENT.shape[:2], 255, np.uint8)])
    rgba[:100, :, 3] = 0
    picture = decode(encoded(rgba), Limits(), 100)
    assert isinstance(picture, Picture) and picture.alpha.shape == picture.rgb.shape[:2] == (
        100,
        75,
    )


@pytest.mark.parametrize("options", [{"format": "gif"}, {"quality": 0}, {"quality": 101}])
def test_unknown_encodings_are_refused(options):
    with pytest.raises(UsageError):
        Encoding(**options)
