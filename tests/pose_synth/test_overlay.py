"""Product B on the drawn person: the body, the flow, what lies on top."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth.body import COCO, transforms
from pose_synth.drawn import draw_garments
from pose_synth.overlay import DISTANCE, OverlayGenerator, OverlayRecipe, fitted_camera, in_front
from pose_synth.persons import CANVAS
from pose_synth.rendered import RenderedGenerator, RenderedRecipe
from tests.figures import JOINTS, make_outfit

ASSETS = Path(__file__).parents[3] / "shared" / "data" / "makehuman" / "base"
needs_meshes = pytest.mark.skipif(
    not (ASSETS / "clothes").is_dir(),
    reason="no ../shared/data/makehuman; clone makehumancommunity/makehuman-assets there",
)


def test_camera_is_found_from_its_own_picture():
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.5, (17, 3))
    points = joints[:, [0, 2]] * (1, -1) * 130 + (120, 160)
    weight = np.ones(17)
    points[16] += 500  # not trusted
    weight[16] = 0
    camera, error = fitted_camera(joints, points, weight)
    assert camera.zoom / DISTANCE == pytest.approx(130, rel=1e-6)
    assert np.allclose(camera.shift, (120, 160), atol=1e-6)
    assert error < 2  # depth of half a metre at 60 metres


def test_hair_lies_on_top_and_a_belt_does_not():
    outfit = make_outfit()
    outfit.parsing[130:140, 110:120] = Parsing.HAIR
    outfit.parsing[220:226, 100:150] = Parsing.ACCESSORY
    outfit.parsing[130:134, 130:140] = Parsing.ACCESSORY
    over = in_front(outfit)
    assert over[135, 115] and over[131, 135] and not over[222, 125]
    wrist = JOINTS[15]
    assert over[wrist[1] + 12, wrist[0] + 3] == (
        outfit.parsing[wrist[1] + 12, wrist[0] + 3] == Parsing.SKIN
    )


@pytest.fixture(scope="module")
def people():
    return RenderedGenerator(draw_garments(4), ASSETS, RenderedRecipe(flat_light=True))


@pytest.fixture(scope="module")
def outfit(people):
    """A drawn outfit whose joints are those of a body of the bank, and that is easy to cover."""
    w = people.wardrobe
    key, pose = people.poses.ids[3], people.poses.poses[3]
    joints = w.body.keypoints(w.pose_body(w.mean, transforms(pose, w.mean.heads)))
    made = make_outfit(key=key, hem=0.7, sleeve=0.2)
    at = joints[:, [0, 2]] * (1, -1)
    shoulders, hips = at[[5, 6]].mean(0), at[[11, 12]].mean(0)
    zoom = 109 / np.linalg.norm(hips - shoulders)
    made.points[list(COCO), :2] = (at - shoulders) * zoom + (128, 125)
    made.points[list(COCO), 2] = 1
    made.region[:] = False
    made.region[140:190, 108:148] = True
    made.parsing[made.parsing == Parsing.UPPER] = Parsing.BACKGROUND
    made.parsing[made.region] = Parsing.UPPER
    return made


@needs_meshes
def test_flow_tells_where_the_colours_came_from(people, outfit):
    height, width = people.garments[0].extended.shape[:2]
    y, x = np.mgrid[:height, :width]
    ramp = np.dstack([x / width * 255, y / height * 255, 0 * x]).astype(np.uint8)
    kept = [g.extended for g in people.garments]
    for garment in people.garments:
        garment.extended = ramp
    recipe = OverlayRecipe(real_input=1.0, shading=0.0)
    generator = OverlayGenerator(people, [outfit], recipe)
    try:
        for i in range(3):
            sample = generator.draw(np.random.default_rng([2, i]))
            inside = cv2.erode((sample.target_mask > 250).astype(np.uint8), np.ones((7, 7))) > 0
            flow = cv2.resize(sample.flow.astype(np.float32) / 8, CANVAS)
            seen = sample.target[inside][:, :2] * (width / 255, height / 255)
            away = np.abs(seen - flow[inside]).max(1)
            assert inside.sum() > 1000
            assert np.median(away) < 1.5  # the colours are rounded to 1.3 pixels
            assert (away > 5).mean() < 0.06  # edges between sleeve and torso
    finally:
        for garment, extended in zip(people.garments, kept, strict=True):
            garment.extended = extended


@needs_meshes
def test_photo_is_untouched_beside_garment_and_old_top(people, outfit):
    generator = OverlayGenerator(people, [outfit], OverlayRecipe(real_input=1.0))
    sample = generator.draw(np.random.default_rng(5))
    assert sample.kind == "B" and sample.person_key == outfit.key
    assert np.array_equal(sample.person, outfit.image)
    beside = (sample.target_mask == 0) & ~outfit.region
    assert beside.sum() > 10_000
    assert np.array_equal(sample.target[beside], outfit.image[beside])
    left = outfit.region & (sample.target_mask < 128)
    assert left.sum() <= 0.1 * outfit.region.sum()
    again = generator.draw(np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(sample, again, strict=True))


@needs_meshes
def test_people_without_a_body_are_refused(people):
    with pytest.raises(DataError, match="none of the people has a body"):
        OverlayGenerator(people, [make_outfit(key="nobody")])
