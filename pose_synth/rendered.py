"""Product A: rendered people in two garments, with everything about them known exactly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_synth.body import COCO, NETWORK_KEYPOINTS, PoseSampler, transforms
from pose_synth.coverage import hands_in_front, tucked, waist_row
from pose_synth.garments import CANVAS as GARMENT_CANVAS
from pose_synth.garments import Garment
from pose_synth.looks import Face, FoldBank
from pose_synth.patterns import SIZE as PATTERN_SIZE
from pose_synth.persons import CANVAS, canvas_matrix
from pose_synth.products import Sample
from pose_synth.raster import FIELD_STEP
from pose_synth.render import Camera, Dressing, Picture, Scene, garment_field
from pose_synth.sizes import flat_hem, is_long
from pose_synth.strips import fill_nearest
from pose_synth.wardrobe import COLLARED, EYE_VERTICES, TOPS, Wardrobe

JOINT_DEPTH = 0.16  # metres of body that may lie before a joint that counts as seen


@dataclass(frozen=True)
class RenderedRecipe:
    """Shares and ranges of rendered people."""

    supersampling: int = 2
    close: float = 0.15
    """Share of close webcam framings."""
    full: float = 0.12
    """Share of framings of the whole body."""
    bare_input: float = 0.2
    """Share of inputs in a sleeveless, strapless or cropped top."""
    sheer: float = 0.0
    """Share of inputs in a top through which the skin shows."""
    tucked: float = 0.0
    """Share of targets whose hem is tucked into the trousers."""
    arms_front: float = 0.0
    """Share of poses with a hand before the torso, besides those that come by chance."""
    selfie: float = 0.0
    """Share of selfies: close, at arm's length, lit from the camera."""
    jitter: float = 0.2
    """Disturbance of the poses, in the joints' spreads."""
    max_turn: float = 0.55
    """Largest turn of the body from the camera in radians."""
    min_shoulder_ratio: float = 0.42
    """Shoulder width over torso length below which a pose is drawn again."""
    flat_light: bool = False
    """No shading at all: what the tests of the flow need."""


class RenderedGenerator:
    """Samples of kind A; every draw depends on the given rng only."""

    def __init__(self, garments: list[Garment], assets: Path, recipe: RenderedRecipe | None = None):
        """`assets` is the folder base/ of makehumancommunity/makehuman-assets."""
        self.garments, self.recipe = garments, recipe or RenderedRecipe()
        self.wardrobe = Wardrobe(Path(assets))
        self.poses, self.bank = PoseSampler(), FoldBank()
        patterns = self.wardrobe.patterns
        self.sleeved = [p for p in patterns if p.mesh is not None]
        self.bare = [p for p in patterns if p.mesh is None]
        self.traits = np.array([(p.sleeve, p.hem) for p in self.sleeved])
        self.collared = np.array([TOPS[p.top] in COLLARED for p in self.sleeved])
        eye = self.wardrobe.mean.vertices[list(EYE_VERTICES)]
        eye = eye[eye[:, 0] > 0]
        middle = (eye.min(0) + eye.max(0)) / 2
        nose = self.wardrobe.body.keypoints(self.wardrobe.mean.vertices)[0]
        self.face = Face(middle, nose)
        wanted = self.recipe.arms_front > 0
        self.front = hands_in_front(self.poses, self.wardrobe.body) if wanted else None

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample: the same person, pose, camera and light in two garments."""
        r = self.recipe
        selfie = r.selfie > 0 and rng.random() < r.selfie
        front = r.arms_front > 0 and rng.random() < r.arms_front
        for _ in range(20):
            scene = self._scene(rng, self.front if front else None)
            camera, keypoints = self._camera(rng, scene, selfie)
            if _shoulder_ratio(keypoints) > self.recipe.min_shoulder_ratio:
                break
        if selfie:
            _flash(rng, scene)
        zoom = r.supersampling
        background = self.bank.background(rng, CANVAS[1] * zoom, CANVAS[0] * zoom)
        loose = rng.uniform(0.004, 0.03)
        garment = self.garments[rng.integers(len(self.garments))]
        before = scene.picture(self._before(rng), camera, background, zoom, loose)
        if r.sheer > 0 and rng.random() < r.sheer:
            thin = self._before(rng, bare=True)
            under = scene.picture(thin, camera, background, zoom, loose)
            before = _see_through(before, under, rng.uniform(0.35, 0.75))
        worn = self.dressing(rng, garment)
        if r.tucked > 0 and rng.random() < r.tucked:
            lower = scene.parts[0]
            row = waist_row(lower.proxy, lower.faces, self.wardrobe.mean)
            worn = worn._replace(pattern=tucked(worn.pattern, row))
        after = scene.picture(worn, camera, background, zoom, loose)
        return self._pack(before, after, garment, keypoints)

    def _scene(self, rng: np.random.Generator, among: np.ndarray | None) -> Scene:
        w = self.wardrobe
        pose = self.poses.draw(rng, self.recipe.jitter, among)
        pose[0] *= min(1.0, self.recipe.max_turn / (np.linalg.norm(pose[0]) + 1e-6))
        figure = w.body.figure(w.body.draw_shape(rng))
        parts = [w.lowers[rng.integers(len(w.lowers))], w.shoes[rng.integers(len(w.shoes))]]
        if rng.random() < 0.95:
            parts.append(w.hairs[rng.integers(len(w.hairs))])
        looks = self.bank.draw(rng, w.mean.vertices, w.eye, self.face)
        if self.recipe.flat_light:
            looks.light[4] = 0
        return Scene(w, parts, figure, transforms(pose, figure.heads), looks)

    def _camera(self, rng: np.random.Generator, scene: Scene, selfie: bool):
        """A camera that frames the person, and its 17 keypoints: canvas x, y and depth."""
        world = self.wardrobe.body.keypoints(scene.body)
        yaw, pitch = rng.normal(0, 0.12), rng.normal(0.02, 0.07)
        turn = _turn_z(yaw) @ _turn_x(pitch)
        centre = world[[5, 6, 11, 12]].mean(0)
        near, far = (1.0, 1.4) if selfie else (1.8, 5.0)
        move = np.array([0, rng.uniform(near, far), 0]) - turn @ centre
        camera = Camera(turn, move, 1000.0, np.zeros(2))
        points = np.zeros((33, 3), np.float32)
        points[list(COCO)] = camera.screen(camera.space(world))
        matrix = self._framing(rng, canvas_matrix(points, 1.0), points, selfie)
        camera = camera._replace(zoom=1000.0 * matrix[0, 0], shift=matrix[:, 2])
        return camera, camera.screen(camera.space(world))

    def _framing(self, rng: np.random.Generator, matrix, points, selfie: bool) -> np.ndarray:
        """The hips-up matrix (2, 3), made closer or wider about the shoulders or the hips."""
        kind = rng.random()
        shoulders = points[[11, 12], :2].mean(0) @ matrix[:, :2].T + matrix[:, 2]
        zoom, target = rng.uniform(0.92, 1.06), shoulders
        if selfie or kind < self.recipe.close:
            zoom, target = rng.uniform(1.3, 1.9), np.array([128.0, rng.uniform(170, 215)])
        elif kind < self.recipe.close + self.recipe.full:
            zoom, target = rng.uniform(0.45, 0.7), np.array([128.0, rng.uniform(75, 110)])
        target = target + rng.normal(0, 4, 2)
        out = matrix * zoom
        out[:, 2] += target - zoom * shoulders
        return out

    def dressing(self, rng: np.random.Generator, garment: Garment) -> Dressing:
        """The garment on one of the patterns that are most like it."""
        wanted = np.array([_arm_share(garment), flat_hem(garment.mesh)])
        away = np.abs((self.traits - wanted) * (4.0, 1.2)).sum(1)
        away += rng.uniform(0, 0.25, len(away))
        away += np.where(self.collared == (garment.kind == "shirt"), 0.0, 0.5)
        pattern = self.sleeved[int(np.argmin(away))]
        return Dressing(pattern, garment.extended, garment_field(pattern, garment.mesh))

    def _before(self, rng: np.random.Generator, bare: bool = False) -> Dressing:
        """What the person wears in the input."""
        garment = self.garments[rng.integers(len(self.garments))]
        if bare or rng.random() < self.recipe.bare_input:
            pattern = self.bare[rng.integers(len(self.bare))]
            return Dressing(pattern, garment.extended, _straight_field())
        return self.dressing(rng, garment)

    def _pack(self, before: Picture, after: Picture, garment: Garment, points) -> Sample:
        byte = lambda m: np.round(np.clip(m, 0, 1) * 255).astype(np.uint8)  # noqa: E731
        keypoints = _visibility(points, after.depth)[list(NETWORK_KEYPOINTS)]
        flow = np.clip(np.round(np.nan_to_num(fill_nearest(after.flow)) * 8), -32000, 32000)
        return Sample(before.image, byte(before.garment), after.image, byte(after.garment),
                      after.parsing, garment.image, byte(garment.mask), flow.astype(np.int16),
                      keypoints, "A", "rendered", garment.key)  # fmt: skip


def _flash(rng: np.random.Generator, scene: Scene) -> None:
    """A lamp beside the lens: hardly any shade, the brighter for it."""
    lamp = np.array([rng.normal(0, 0.12), -1.0, rng.normal(0.05, 0.1)])
    light = scene.looks.light
    light[:3] = lamp / np.linalg.norm(lamp)
    light[3] *= 0.7
    light[5] *= 1.1


def _see_through(cloth: Picture, under: Picture, opacity: float) -> Picture:
    """The picture in thin cloth; `under` is the same person in next to nothing."""
    share = (opacity + (1 - opacity) * (1 - cloth.garment))[..., None]
    image = cloth.image * share + under.image * (1 - share)
    return cloth._replace(image=np.round(image).astype(np.uint8))


def _arm_share(garment: Garment) -> float:
    """Share of the arm that a shop garment's sleeves will cover."""
    return 1.0 if is_long(garment) else min(0.65, 1.5 * garment.mesh.sleeve_ratio())


def _straight_field() -> np.ndarray:
    """A garment picture laid on the pattern as it is, torso on torso."""
    rows, columns = (side // FIELD_STEP for side in PATTERN_SIZE)
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * FIELD_STEP + (FIELD_STEP - 1) / 2
    centre = GARMENT_CANVAS[0] / 2
    return np.stack([(x - PATTERN_SIZE[1] / 2) * 0.7 + centre, y * 0.8 + 30], 2)


def _shoulder_ratio(points: np.ndarray) -> float:
    """Signed width of the shoulders over the torso's length; negative from behind."""
    torso = points[[5, 6], :2].mean(0) - points[[11, 12], :2].mean(0)
    return float((points[5, 0] - points[6, 0]) / (np.linalg.norm(torso) + 1e-6))


def _visibility(points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Canvas x, y and visibility (17, 3) from x, y and the joints' depth."""
    out = points.copy()
    height, width = depth.shape
    for k, (x, y, z) in enumerate(points):
        i, j = round(float(y)), round(float(x))
        inside = 0 <= i < height and 0 <= j < width
        covered = inside and depth[i, j] < z - JOINT_DEPTH
        out[k, 2] = 0.0 if not inside else 0.3 if covered else 1.0
    return out.astype(np.float32)


def _turn_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _turn_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
