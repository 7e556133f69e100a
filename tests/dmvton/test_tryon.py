"""The engine end to end: on a fake network whose answers are known, and on the packaged one."""

from pathlib import Path

import numpy as np
import pytest

from dmvton import TryOn
from dmvton.crop import CropRule
from dmvton.errors import CheckpointError, GarmentError, ImageError, NoPersonError
from dmvton.image_io import read_picture
from tests import fake_pair
from tests.fake_pair import garment_picture, person_picture

EXAMPLES = Path(__file__).parents[2] / "examples"
PERSON = EXAMPLES / "person_astronaut.jpg"
GARMENT = EXAMPLES / "garment_striped.jpg"


@pytest.fixture
def garment(fake_tryon):
    return fake_tryon.garment(garment_picture())


@pytest.mark.parametrize(
    ("shape", "torso"),
    [
        ((900, 700), (250, 300, 150, 220)),  # hips to head and more
        ((480, 640), (260, 150, 120, 190)),  # webcam
        ((1600, 1200), (500, 500, 130, 180)),  # small in the picture
        ((300, 200), (40, 60, 120, 170)),  # crop reaches outside
        ((720, 1280), (1020, 200, 150, 220)),  # at the side of a wide picture
        ((3000, 2400), (700, 900, 900, 1300)),
    ],
)
def test_finds_the_torso_and_dresses_it_and_nothing_else(fake_tryon, garment, shape, torso):
    frame = person_picture(*shape, torso)
    kept = frame.copy()
    result = fake_tryon(frame, garment)
    x, y, width, height = torso
    assert result.image.shape == frame.shape and result.image.dtype == np.uint8
    np.testing.assert_array_equal(frame, kept)
    changed = (result.image != frame).any(-1)
    assert changed[y + 4 : y + height - 4, x + 4 : x + width - 4].mean() > 0.95
    reach = 2 + height // 50  # the network's red mask is soft by a pixel of its own
    changed[y - reach : y + height + reach, x - reach : x + width + reach] = False
    assert not changed.any()


def test_crop_has_the_proportions_of_the_rule(fake_tryon, garment):
    result = fake_tryon(person_picture(900, 700, (250, 300, 150, 220)), garment)
    rule = CropRule()
    assert result.crop.height == pytest.approx(rule.height * 220, rel=0.05)
    assert result.crop.y == pytest.approx(300 - rule.above * 220, abs=0.05 * result.crop.height)
    assert (result.crop.x + result.crop.right) / 2 == pytest.approx(325, abs=10)


def test_keypoints_are_in_frame_pixels(fake_tryon, garment):
    result = fake_tryon(person_picture(900, 700, (250, 300, 150, 220)), garment)
    left, right = result.keypoints[1], result.keypoints[2]
    np.testing.assert_allclose(left[:2], [399.5, 299.5], atol=3)
    np.testing.assert_allclose(right[:2], [249.5, 299.5], atol=3)


def test_garment_arrives_upright_and_complete(fake_tryon):
    """Four colours in the quarters of the photo are in the quarters of the torso."""
    colours = [[(200, 30, 200), (30, 60, 200)], [(20, 160, 40), (240, 220, 40)]]
    photo = np.vstack(
        [np.hstack([np.full((128, 96, 3), c, np.uint8) for c in row]) for row in colours]
    )
    result = fake_tryon(person_picture(900, 700, (250, 300, 150, 220)), fake_tryon.garment(photo))
    for row, y in enumerate((355, 465)):
        for column, x in enumerate((287, 362)):
            np.testing.assert_allclose(result.image[y, x], colours[row][column], atol=1)


def test_layers_have_network_size(fake_tryon, garment):
    result = fake_tryon(person_picture(900, 700, (250, 300, 150, 220)), garment)
    assert result.warped.shape == result.rendered.shape == (256, 192, 3)
    assert result.garment_mask.shape == result.alpha.shape == result.beta.shape == (256, 192)
    assert result.flow.shape == (256, 192, 2)
    assert result.presence == 1


def test_path_bytes_and_array_give_the_same(fake_tryon, tmp_path):
    from PIL import Image

    frame, photo = person_picture(600, 500, (180, 200, 120, 160)), garment_picture()
    Image.fromarray(frame).save(tmp_path / "person.png")
    Image.fromarray(photo).save(tmp_path / "garment.png")
    wanted = fake_tryon(frame, fake_tryon.garment(photo)).image
    by_path = fake_tryon(tmp_path / "person.png", fake_tryon.garment(tmp_path / "garment.png"))
    np.testing.assert_array_equal(by_path.image, wanted)
    data = (tmp_path / "person.png").read_bytes()
    np.testing.assert_array_equal(fake_tryon(data, fake_tryon.garment(photo)).image, wanted)


def test_no_person(fake_tryon, garment):
    with pytest.raises(NoPersonError, match="expected at least 0.5"):
        fake_tryon(person_picture(480, 640, None), garment)


def test_frame_that_is_no_picture(fake_tryon, garment):
    with pytest.raises(ImageError):
        fake_tryon(np.zeros((480, 640, 3), np.float32), garment)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 40, 90)])
def test_blank_garment_photo(fake_tryon, colour):
    rng = np.random.default_rng(0)
    blank = np.full((400, 300, 3), colour, np.int16) + rng.integers(-1, 2, (400, 300, 3))
    with pytest.raises(GarmentError, match="blank"):
        fake_tryon.garment(blank.clip(0, 255).astype(np.uint8))


def test_photo_with_next_to_no_garment(fake_tryon):
    photo = np.full((400, 300, 3), 255, np.uint8)
    photo[200:215, 150:165] = 0
    with pytest.raises(GarmentError, match="no garment found"):
        fake_tryon.garment(photo)


def test_transparency_is_the_mask_of_the_garment(fake_tryon):
    cut_out = np.zeros((256, 192, 4), np.uint8)
    cut_out[30:226, 24:168] = (250, 250, 250, 255)  # the network alone would see no garment here
    mask = fake_tryon.garment(cut_out).mask
    assert (mask[36:220, 30:162] == 1).all()
    assert mask[:26].max() == mask[:, :20].max() == 0


def test_small_garment_is_framed(fake_tryon):
    cut_out = np.zeros((800, 600, 4), np.uint8)
    cut_out[500:628, 60:156] = (250, 250, 250, 255)  # a sixth of the photo, in a corner
    garment = fake_tryon.garment(cut_out)
    rows, columns = np.nonzero(garment.mask > 0.5)
    height, width = garment.mask.shape
    assert 0.8 < np.ptp(rows) / height < 0.95
    assert abs(rows.mean() / height - 0.5) < 0.03 and abs(columns.mean() / width - 0.5) < 0.03
    # The flow points into the new box: its corners are those of the frame, in photo pixels.
    corner = garment.box.to_pixels(np.array([[0.0, 0.0]], np.float32))[0]
    assert abs(corner - (107.5, 563.5)).max() < 3


def test_garment_at_the_border_of_its_photo_gets_room(fake_tryon):
    cut_out = np.zeros((256, 192, 4), np.uint8)
    cut_out[40:216, 4:188] = (250, 250, 250, 255)  # cuffs four pixels from the border
    garment = fake_tryon.garment(cut_out)
    _, columns = np.nonzero(garment.mask > 0.5)
    assert 0.83 < np.ptp(columns) / garment.mask.shape[1] < 0.93
    assert garment.box.x < 0 and garment.box.right > 192


def test_wholly_transparent_garment(fake_tryon):
    with pytest.raises(GarmentError, match="no garment found"):
        fake_tryon.garment(np.zeros((256, 192, 4), np.uint8))


def test_garment_is_kept_and_does_not_follow_the_callers_array(fake_tryon):
    photo = garment_picture()
    first = fake_tryon.garment(photo)
    assert fake_tryon.garment(photo.copy()) is first
    kept = first.photo.image.copy()
    photo[:] = 128
    np.testing.assert_array_equal(first.photo.image, kept)


def test_garments_kept_are_few(fake_weights):
    tryon = TryOn.load(fake_weights, threads=1)
    for shade in range(12):
        photo = garment_picture()
        photo[100, 100] = shade
        tryon.garment(photo)
    assert len(tryon._garments) == 8


def test_missing_weights(tmp_path):
    with pytest.raises(CheckpointError, match="no weights"):
        TryOn.load(tmp_path)


def test_rendered_pixels_count_where_the_garment_does_not(tmp_path):
    weights = fake_pair.write_pair(tmp_path / "w", beta=1.0, rendered=(0.2, 0.4, 0.6))
    tryon = TryOn.load(weights, threads=1)
    frame = person_picture(600, 500, (180, 200, 120, 160))
    result = tryon(frame, tryon.garment(garment_picture()))
    x, y = result.crop.x + result.crop.width // 2, 200 - 40  # above the torso, inside the crop
    np.testing.assert_allclose(result.image[y, x], [51, 102, 153], atol=1)


class TestStream:
    """Video: the box follows, gets lost, and finds again."""

    @staticmethod
    def counted(tryon, monkeypatch):
        runs = []
        run = tryon.network.run
        monkeypatch.setattr(tryon.network, "run", lambda *args: runs.append(1) or run(*args))
        return runs

    def test_one_run_a_frame_while_the_person_walks(self, fake_tryon, garment, monkeypatch):
        stream = fake_tryon.stream(garment)
        assert stream(person_picture(480, 640, (100, 150, 110, 170))) is not None
        runs = self.counted(fake_tryon, monkeypatch)
        for step in range(1, 30):
            torso = (100 + 8 * step, 150, 110, 170)
            result = stream(person_picture(480, 640, torso))
            middle = (result.crop.x + result.crop.right) / 2
            assert abs(middle - (torso[0] + 55)) < 0.1 * result.crop.height
        assert len(runs) == 29

    def test_nobody_in_view_is_none_and_somebody_is_found_again(self, fake_tryon, garment):
        stream = fake_tryon.stream(garment)
        there = person_picture(480, 640, (100, 150, 110, 170))
        assert stream(there) is not None
        assert stream(person_picture(480, 640, None)) is None
        assert stream(there) is not None

    def test_cut_to_another_place_is_searched_anew(self, fake_tryon, garment):
        stream = fake_tryon.stream(garment)
        stream(person_picture(720, 1280, (150, 250, 150, 220)))
        torso = (980, 200, 90, 130)
        result = stream(person_picture(720, 1280, torso))
        assert abs((result.crop.x + result.crop.right) / 2 - 1025) < 0.1 * result.crop.height

    def test_frame_of_another_size_starts_afresh(self, fake_tryon, garment):
        stream = fake_tryon.stream(garment)
        stream(person_picture(480, 640, (100, 150, 110, 170)))
        frame = person_picture(900, 700, (250, 300, 150, 220))
        fresh = fake_tryon(frame, garment)
        np.testing.assert_array_equal(stream(frame).image, fresh.image)

    def test_garment_changes_between_frames(self, fake_tryon, garment):
        stream = fake_tryon.stream(garment)
        frame = person_picture(480, 640, (100, 150, 110, 170))
        before = stream(frame).image
        photo = garment_picture()
        photo[100:300, 100:200] = (0, 255, 0)
        stream.garment = fake_tryon.garment(photo)
        assert (stream(frame).image != before).any()


class TestPackagedNetwork:
    """The released weights on the example pictures."""

    def test_runs_on_the_examples(self, real_tryon):
        garment = real_tryon.garment(read_picture(GARMENT))
        view = real_tryon.locator.look(
            read_picture(PERSON).rgb, fake_box(read_picture(PERSON).rgb), garment
        )
        assert view.layers.rendered.shape == (*real_tryon.network.size, 3)
        assert np.abs(view.layers.flow).max() <= 1
        assert view.layers.gain.min() > 0

    @pytest.mark.trained
    def test_dresses_the_astronaut_and_leaves_face_and_shuttle(self, real_tryon):
        person = read_picture(PERSON).rgb
        result = real_tryon(person, real_tryon.garment(GARMENT))
        assert result.presence > 0.5
        assert (result.image != person).any(-1).mean() > 0.05
        for kept in (np.s_[30:140, 165:290], np.s_[:250, -160:], np.s_[: result.crop.y]):
            np.testing.assert_array_equal(result.image[kept], person[kept])

    @pytest.mark.trained
    @pytest.mark.parametrize("name", ["garment", "grey", "noise"])
    def test_no_person_where_there_is_none(self, real_tryon, name):
        rng = np.random.default_rng(0)
        pictures = {
            "garment": read_picture(GARMENT).rgb,
            "grey": np.full((480, 640, 3), 128, np.uint8),
            "noise": rng.integers(0, 256, (480, 640, 3), np.uint8),
        }
        with pytest.raises(NoPersonError):
            real_tryon(pictures[name], real_tryon.garment(GARMENT))

    @pytest.mark.trained
    def test_mask_of_the_example_garment(self, real_tryon):
        mask = real_tryon.garment(GARMENT).mask
        assert mask[128, 96] > 0.5 and mask[4, 4] < 0.5


def fake_box(frame):
    """The whole frame, letterboxed."""
    from dmvton.crop import letterbox

    return letterbox(frame.shape[0], frame.shape[1], fake_pair.SIZE)
