"""The page's arithmetic against Python's, in Node."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from app.web.build import PAGE
from dmvton.compose import composite
from dmvton.crop import Box, Tracker, letterbox, sample, search_boxes, torso_box
from dmvton.garment import Garment, Pyramid, border_colour, encode, extended, shown
from dmvton.hem import torso_of, with_hem
from dmvton.holes import without_holes
from dmvton.image_io import Picture
from dmvton.runtime import Layers
from dmvton.strays import strays
from dmvton.wall import before_wall
from tests.dmvton.test_holes import TORSO
from tests.dmvton.test_holes import layers_of as layers_with_holes
from tests.dmvton.test_strays import laid
from tests.dmvton.test_wall import CLOTH, hung, partial

SIZE = (64, 48)
_NAMES = ("x", "y", "width", "height")
_RUN = """
import * as geometry from "./js/geometry.js";
import * as pixels from "./js/pixels.js";
import * as garments from "./js/garment.js";
import { strays } from "./js/strays.js";
import { beforeWall } from "./js/wall.js";
import { composite } from "./js/compose.js";
import { torsoOf, withHem } from "./js/hem.js";
import { withoutHoles } from "./js/holes.js";
const given = JSON.parse((await import("node:fs")).readFileSync(0, "utf8"));
const image = ({ rgb, width, height }) => {
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data[4 * i + c] = rgb[3 * i + c];
  }
  return { data, width, height };
};
const opaque = ({ data }) => Array.from(data).filter((_, i) => i % 4 < 3);
const answer = await (async () => { BODY })();
console.log(JSON.stringify(answer, (_, v) => ArrayBuffer.isView(v) ? Array.from(v) : v));
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Runs a script's body on ``given``; what it returns comes back."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node.js")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(PAGE / "js", folder / "js")
    (folder / "package.json").write_text('{"type": "module"}')

    def run(body, given):
        (folder / "run.js").write_text(_RUN.replace("BODY", body))
        done = subprocess.run(
            [program, "run.js"],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def boxes(rng, count, height, width):
    """Boxes of the network's shape, in and around a picture."""
    for _ in range(count):
        side = int(rng.integers(20, 2 * height))
        x, y = rng.integers(-side // 3, width - 5), rng.integers(-side // 3, height - 5)
        yield Box(int(x), int(y), round(side * SIZE[1] / SIZE[0]), side)


def as_dict(box):
    return dict(zip(_NAMES, box, strict=True))


def as_box(found):
    return Box(*(found[name] for name in _NAMES))


def as_image(rgb):
    return {"rgb": rgb.ravel().tolist(), "width": rgb.shape[1], "height": rgb.shape[0]}


def smooth(rng, shape):
    """Noise without single pixels, uint8."""
    return cv2.GaussianBlur(rng.integers(0, 256, shape, np.uint8), (0, 0), 2)


def test_letterboxes_and_search_boxes(node):
    rng = np.random.default_rng(1)
    shapes = rng.integers(16, 3000, (200, 2)).tolist()
    found = node("return given.map(([h, w]) => geometry.searchBoxes(h, w, [64, 48]));", shapes)
    for (height, width), several in zip(shapes, found, strict=True):
        assert [as_box(box) for box in several] == list(search_boxes(height, width, SIZE))
        assert as_box(several[0]) == letterbox(height, width, SIZE)


def test_torso_boxes(node):
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.uniform(0, 500, (300, 13, 2)), rng.uniform(0, 1, (300, 13, 1))], 2)
    points[:100, 7:9, 2] = 0.1  # hips unseen
    points[100:110, :, :2] *= 0.01  # too small
    found = node("return given.map((k) => geometry.torsoBox(k, [64, 48], 900));", points.tolist())
    expected = [torso_box(person, SIZE, 900) for person in points]
    assert None in expected and any(expected)
    assert [box and as_box(box) for box in found] == expected


def test_the_tracker_follows_alike(node):
    rng = np.random.default_rng(3)
    sway = np.cumsum(rng.integers(-6, 7, (60, 2)), 0)
    targets = [Box(100 + int(x), 80 + int(y), 90, 120) for x, y in sway]
    targets[30:] = [box._replace(x=box.x + 200) for box in targets[30:]]  # a cut
    body = "const t = new geometry.Tracker(); return given.map((box) => t.update(box));"
    tracker = Tracker()
    expected = [tracker.update(box) for box in targets]
    assert [as_box(box) for box in node(body, list(map(as_dict, targets)))] == expected


@pytest.mark.parametrize("fill", [None, [250, 240, 10]])
def test_samples(node, fill):
    rng = np.random.default_rng(4)
    rgb = smooth(rng, (150, 130, 3))
    several = list(boxes(rng, 20, 150, 130))
    body = """const picture = image(given.image);
    return given.boxes.map((box) => pixels.sample(picture, box, [64, 48], given.fill));"""
    given = {"image": as_image(rgb), "boxes": list(map(as_dict, several)), "fill": fill}
    for box, found in zip(several, node(body, given), strict=True):
        expected = sample(rgb, box, SIZE, None if fill is None else np.array(fill))
        apart = np.abs(np.array(found).reshape(expected.shape) - expected.astype(int))
        assert apart.max() <= 2 and apart.mean() < 0.3, box


def test_border_colours(node):
    rng = np.random.default_rng(5)
    pictures = [smooth(rng, (int(h), int(w), 3)) for h, w in rng.integers(16, 60, (20, 2))]
    found = node(
        "return given.map((p) => garments.borderColour(image(p)));", list(map(as_image, pictures))
    )
    assert found == [border_colour(rgb).tolist() for rgb in pictures]


def garment_of(rng, height=160, width=130):
    """A garment of a disc before noise, and its photo."""
    rgb = smooth(rng, (height, width, 3))
    box = letterbox(height, width, SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot((y - 30) / 22, (x - 24) / 16).astype(np.float32)
    mask = np.clip((1.2 - away) * 3, 0, 1)
    small = sample(rgb, box, SIZE, border_colour(rgb))
    features = {"garment_mask": mask[None, None]}
    return Garment(Pyramid(rgb), box, border_colour(rgb), small, None, features), rgb


def test_the_garments_colours_go_on_around_it(node):
    garment, rgb = garment_of(np.random.default_rng(6))
    given = {
        "image": as_image(rgb),
        "box": as_dict(garment.box),
        "mask": garment.mask.ravel().tolist(),
        "picture": garment.picture.ravel().tolist(),
    }
    body = "return opaque(garments.extended(image(given.image), given, [64, 48]));"
    found = np.array(node(body, given)).reshape(rgb.shape)
    expected = extended(rgb, garment)
    assert np.abs(expected.astype(int) - rgb).mean() > 5
    # Where two colours are equally near, either may be taken.
    assert np.abs(found - expected).mean() < 0.3


def test_background_that_the_mask_covers(node):
    for picture, mask, _ in (laid(), laid(noise=40), laid(cloth=(150, 80, 90), noise=20)):
        given = {"picture": picture.ravel().tolist(), "mask": mask.ravel().tolist()}
        body = "return strays(given.picture, Float32Array.from(given.mask), [256, 192]);"
        expected = strays(picture, mask)
        np.testing.assert_array_equal(np.array(node(body, given)).reshape(mask.shape), expected)
        assert expected.any()


@pytest.mark.parametrize("seed", range(4))
def test_masks_before_a_wall(node, seed):
    slope, noise = seed * 8.0, (1.0, 1.5, 2.0, 25.0)[seed]
    photo, true = hung(slope=slope, noise=noise, seed=seed)
    photo[10:20, 40:112] = (150, 90, 30)
    cv2.rectangle(photo, (20, 80), (40, 150), CLOTH, 5)
    cv2.rectangle(photo, (52, 20), (60, 70), CLOTH, 2)
    mask = partial(true)
    mask[20:70, 51:62] = 1
    border = border_colour(photo)
    given = {
        "photo": photo.ravel().tolist(),
        "mask": mask.ravel().tolist(),
        "border": border.tolist(),
    }
    body = """return beforeWall(Uint8Array.from(given.photo), Float32Array.from(given.mask),
      given.border, [200, 150]);"""
    expected = before_wall(photo, mask, border)
    assert (expected != mask).any() == (seed < 3)
    np.testing.assert_array_equal(np.array(node(body, given)).reshape(mask.shape), expected)


def test_which_part_of_a_letterbox_is_photo(node):
    rng = np.random.default_rng(8)
    cases = []
    for height, width in rng.integers(16, 900, (60, 2)).tolist():
        box = letterbox(height, width, SIZE)
        cases.append((height, width, box))
        cases += [(height, width, one) for one in boxes(rng, 3, height, max(width, 6))]
    given = [{"height": h, "width": w, "box": as_dict(box)} for h, w, box in cases]
    found = node("return given.map((one) => garments.shown(one, one.box, [64, 48]));", given)
    for (height, width, box), got in zip(cases, found, strict=True):
        rows, columns = shown(np.zeros((height, width, 3), np.uint8), box, SIZE)
        assert as_box(got) == Box(
            columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        )
        assert got["width"] >= 1 and got["height"] >= 1


def test_background_that_the_mask_covers_is_painted_over(node):
    garment, rgb = garment_of(np.random.default_rng(6))
    stray = np.zeros(SIZE, bool)
    stray[24:40, 20:24] = True
    given = {
        "image": as_image(rgb),
        "box": as_dict(garment.box),
        "mask": garment.mask.ravel().tolist(),
        "picture": garment.picture.ravel().tolist(),
        "stray": stray.ravel().astype(int).tolist(),
    }
    body = "return opaque(garments.extended(image(given.image), given, [64, 48], given.stray));"
    found = np.array(node(body, given)).reshape(rgb.shape)
    expected = extended(rgb, garment, stray)
    assert (expected != extended(rgb, garment)).any()
    assert np.abs(found - expected).mean() < 0.3


def layers_of(rng):
    """Smooth layers: a garment in the middle, rendered pixels beside it."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    flow = np.stack([(2 * x + 1) / SIZE[1] - 1, (2 * y + 1) / SIZE[0] - 1], 2) * np.float32(0.9)
    away = np.hypot((y - 34) / 24, (x - 22) / 17).astype(np.float32)
    maps = cv2.GaussianBlur(rng.random((*SIZE, 6), np.float32), (0, 0), 4)
    return Layers(
        flow=flow + np.float32(0.02) * np.sin(y / 5)[..., None],
        alpha=np.clip((1.1 - away) * 2, 0, 1),
        beta=np.clip((1.4 - away) * 2, 0, 1),
        rendered=maps[..., :3],
        gain=0.7 + maps[..., 3:],
        keypoints=np.zeros((13, 3), np.float32),
        presence=1.0,
    )


@pytest.mark.parametrize(
    "box",
    [Box(20, 10, 150, 200), Box(-30, -20, 225, 300), Box(60, 90, 33, 44), Box(90, 50, 240, 320)],
)
def test_composites(node, box):
    rng = np.random.default_rng(7)
    frame, (garment, rgb) = smooth(rng, (240, 200, 3)), garment_of(rng)
    layers = layers_of(rng)
    planes = {
        name: np.moveaxis(np.atleast_3d(getattr(layers, name)), 2, 0).ravel().tolist()
        for name in ("flow", "alpha", "beta", "rendered", "gain")
    }
    given = {
        "frame": as_image(frame),
        "box": as_dict(box),
        "layers": {
            **planes,
            "keypoints": layers.keypoints.ravel().tolist(),
            "height": SIZE[0],
            "width": SIZE[1],
        },
        "garment": {
            "photo": as_image(rgb),
            "box": as_dict(garment.box),
            "mask": garment.mask.ravel().tolist(),
        },
    }
    body = """const frame = image(given.frame), { photo, ...rest } = given.garment;
    const torso = torsoOf(rest.mask, given.layers.height, given.layers.width);
    const garment = { photo: new pixels.Pyramid(image(photo)), torso, ...rest };
    composite(frame, given.box, given.layers, garment);
    return opaque(frame);"""
    found = np.array(node(body, given)).reshape(frame.shape)
    expected = composite(frame, box, layers, garment)
    changed = (expected != frame).any(2)
    assert changed.mean() > 0.015
    assert np.abs(found - expected)[changed].mean() < 0.5
    untouched = ~cv2.dilate(changed.astype(np.uint8), np.ones((3, 3))).astype(bool)
    np.testing.assert_array_equal(found[untouched], frame[untouched])


@pytest.mark.parametrize("wrist", [None, (52, 86)])
def test_holes_are_those_of_python(node, wrist):
    """A button, a hand, a gap beside the torso, a neck, a badge above a zip, and painted skin."""
    layers = layers_with_holes([(40, 40, 2), (52, 80, 3), (22, 60, 3), (47, 24, 8)], wrist)
    cv2.circle(layers.alpha, (60, 50), 5, 0, -1)
    layers.alpha[50:110, 59:62] = 0
    cv2.circle(layers.alpha, (34, 62), 2, 0, -1)
    cv2.circle(layers.beta, (34, 62), 4, 1, -1)
    soft = cv2.GaussianBlur(layers.alpha, (0, 0), 0.8)
    given = {name: getattr(layers, name).ravel().tolist() for name in ("beta", "keypoints")}
    given |= {"alpha": soft.ravel().tolist(), "torso": TORSO._asdict()}
    given |= {"flow": np.moveaxis(layers.flow, 2, 0).ravel().tolist()}
    given |= {"height": soft.shape[0], "width": soft.shape[1]}
    body = "return Array.from(withoutHoles(Float32Array.from(given.alpha), given, given.torso));"
    found = np.array(node(body, given), np.float32).reshape(soft.shape)
    expected = without_holes(soft, layers, TORSO)
    np.testing.assert_array_equal(found, expected)
    assert expected[40, 40] == expected[62, 34] == 1
    assert (expected[80, 52] == 1) == (wrist is None)


def test_hem_is_that_of_python(node):
    rng = np.random.default_rng(12)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    mask = np.zeros(SIZE, np.float32)
    mask[8:54, 14:34] = mask[8:30, 4:44] = 1
    mask[40:48, 20:22] = 0
    # No pixel on the border of two rows, where float32 counts it for the one or the other.
    flow = np.stack([(2 * x + 1) / SIZE[1] - 1, 0.973 * ((2 * y + 1) / SIZE[0] - 1) + x / 413], -1)
    body = """const torso = torsoOf(given.mask, given.height, given.width);
    given.alpha = Float32Array.from(given.alpha);
    const { alpha, flow } = withHem(given, torso);
    return [Array.from(alpha), Array.from(flow)];"""
    stretched = 0
    for _ in range(20):
        start, length = rng.uniform(20, 50), rng.uniform(1, 30)
        alpha = mask * np.clip((start + length - y) / length, 0, 1)
        alpha = (alpha * rng.uniform(0.6, 1, SIZE)).astype(np.float32)
        old = start + rng.uniform(-20, 25)  # where the old top ends
        beta = np.clip(old - y, 0, 1).astype(np.float32)
        given = {"alpha": alpha.ravel().tolist(), "mask": mask.ravel().tolist(),
                 "beta": beta.ravel().tolist(),
                 "flow": flow.transpose(2, 0, 1).ravel().tolist(),
                 "height": SIZE[0], "width": SIZE[1]}  # fmt: skip
        expected, moved = with_hem(alpha, beta, flow, torso_of(mask))
        assert not np.array_equal(expected, alpha)
        stretched += not np.array_equal(moved, flow)
        found = node(body, given)
        np.testing.assert_allclose(np.reshape(found[0], SIZE), expected, atol=1e-3)
        np.testing.assert_allclose(
            np.reshape(found[1], (2, *SIZE)), moved.transpose(2, 0, 1), atol=1e-3
        )
    assert 3 < stretched < 17


def test_a_blank_sheet_is_no_garment(node):
    body = """const network = { size: [64, 48] };
    try { await garments.encode(network, image(given)); } catch (error) { return error.kind; }"""
    assert node(body, as_image(np.full((90, 70, 3), 201, np.uint8))) == "no-garment"


def test_trousers_are_no_top(node):
    _, rgb = garment_of(np.random.default_rng(8))
    body = """const mask = new Float32Array(64 * 48).fill(1), found = [];
    for (const chance of [0.02, 0.3]) {
      const features = { garment_mask: { data: mask }, garment_top: { data: [chance] } };
      const network = { size: [64, 48], encodeGarment: () => features };
      try { await garments.encode(network, image(given)); found.push("worn"); }
      catch (error) { found.push(error.kind); }
    }
    return found;"""
    assert node(body, as_image(rgb)) == ["no-garment", "worn"]


def test_a_garment_is_framed_as_python_frames_it(node):
    garment, rgb = garment_of(np.random.default_rng(8))
    masks = []
    for share, top, left in ((0.3, 5, 8), (0.5, 5, 8), (0.8, 5, 8), (0.96, 1, 1)):
        mask = np.zeros(SIZE, np.float32)
        mask[top : top + int(SIZE[0] * share), left : left + int(SIZE[1] * share)] = 1
        masks.append(mask)
    body = """const picture = image(given.image), boxes = [];
    for (const mask of given.masks) {
      const network = { size: [64, 48], encodeGarment: () => ({ garment_mask: { data: mask } }) };
      boxes.push((await garments.encode(network, picture)).box);
    }
    return boxes;"""
    given = {"image": as_image(rgb), "masks": [mask.ravel().tolist() for mask in masks]}
    for mask, found in zip(masks, node(body, given), strict=True):
        network = SimpleNamespace(
            size=SIZE, encode_garment=lambda _, m=mask: {"garment_mask": m[None, None]}
        )
        assert as_box(found) == encode(network, Picture(rgb, None)).box
