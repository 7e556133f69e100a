import math
from pathlib import Path

import pytest
import torch

from dmvton.checkpoint import save_model
from dmvton.distil import DistilConfig, Grafted, Tutor
from dmvton.errors import CheckpointError, UsageError
from dmvton.keypoints import Keypoint
from dmvton.losses import LossWeights, StudentLoss
from dmvton.networks import load_network, start_from
from dmvton.parsing import Parsing
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from dmvton.teacher.model import Teacher, TeacherConfig
from dmvton.teacher.sight import PARTS, UNKNOWN, body_map, sight, sight_of
from tests.batches import random_batch
from tests.dmvton.model_contract import ModelContract

SIZES = dict(width=16, decoder=(16, 16, 12, 8, 8), tokens=1, pretrained=False)
TINY = TeacherConfig(**SIZES, conditions=8)
STUDENT = StudentConfig(**SIZES)
RELEASED = Path(__file__).parents[2] / "dmvton" / "teacher" / "teacher-256x192"


class TestTeacher(ModelContract):
    def build(self):
        return Teacher(TINY)

    def inputs(self, size, count=1):
        batch = random_batch(count, size, seed=count)
        return (*sight_of(batch), batch.garment)

    def outputs(self, model, inputs):
        from dmvton.teacher.sight import Sight

        out, code = model(Sight(*inputs[:-1]), inputs[-1])
        named = {k: v for k, v in out._asdict().items() if isinstance(v, torch.Tensor)}
        return named | out.pose._asdict() | {"garment mask": code.mask}

    def shapes(self, size, count):
        planes = dict(image=3, flow=2, alpha=1, beta=1, rendered=3, gain=3)
        return {k: (count, c, *size) for k, c in planes.items()}

    def loss(self, model, inputs):
        from dmvton.teacher.sight import Sight

        batch = random_batch(len(inputs[-1]), tuple(inputs[-1].shape[2:]))
        out, code = model(Sight(*inputs[:-1]), inputs[-1])
        return sum(StudentLoss(LossWeights())(out, code, batch).values())


def standing():
    """Keypoints (1, 13, 3) of a person with the arms down; the torso is 0.8 long."""
    points = torch.zeros(1, 13, 3)
    points[..., 2] = 1
    joints = dict(SHOULDER=(0.3, -0.4), ELBOW=(0.45, 0.0), WRIST=(0.5, 0.4))
    joints |= dict(HIP=(0.2, 0.4), KNEE=(0.2, 0.9), ANKLE=(0.2, 0.99))
    for name, (x, y) in joints.items():
        points[0, Keypoint[f"LEFT_{name}"], :2] = torch.tensor([x, y])
        points[0, Keypoint[f"RIGHT_{name}"], :2] = torch.tensor([-x, y])
    points[0, Keypoint.NOSE, 1] = -0.8
    return points


def test_body_map_is_one_on_the_bone_and_a_half_at_the_radius():
    points = standing()
    size = (256, 192)
    drawn = body_map(points, size)[0]
    assert drawn.shape == (PARTS, *size)
    upper_arm = drawn[0]
    a, b = points[0, Keypoint.LEFT_SHOULDER, :2], points[0, Keypoint.LEFT_ELBOW, :2]
    aspect = torch.tensor([0.75, 1.0])
    middle, along = (a + b) / 2, (b - a) * aspect
    across = torch.stack([along[1], -along[0]]) / along.norm()

    def at(distance):  # in torso lengths, across the arm
        x, y = middle + across * distance * 0.8 / aspect
        return upper_arm[round((float(y) + 1) * 128 - 0.5), round((float(x) + 1) * 96 - 0.5)]

    assert at(0) > 0.98
    assert math.isclose(at(0.11), 0.5, abs_tol=0.06)
    assert at(0.4) < 0.01


def test_parts_of_hidden_joints_are_not_drawn():
    points = standing()
    points[0, Keypoint.LEFT_WRIST, 2] = 0
    drawn = body_map(points, (64, 48))[0].amax((1, 2))
    assert drawn[2] == 0 and (drawn[[0, 1, 3]] > 0.9).all()


def test_nothing_of_the_old_garment_reaches_the_teacher():
    """Two persons who differ inside the old garment alone are one and the same to it."""
    torch.manual_seed(0)
    batch = random_batch(2, (64, 48))
    inside = batch.person_mask > 0
    other = torch.where(inside, torch.rand_like(batch.person), batch.person)
    first, second = (sight_of(batch._replace(person=p)) for p in (batch.person, other))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    outside = (first.known > 0).expand_as(batch.person)
    assert outside.any() and not (outside & inside).any()
    assert torch.equal(first.agnostic[outside], batch.person[outside])


def test_arms_and_tops_are_unknown_and_the_rest_is_not():
    parsing = torch.zeros(1, 64, 48, dtype=torch.int64)
    parsing[:, :14] = Parsing.HAIR
    parsing[:, 20:44, 14:34] = Parsing.UPPER
    parsing[:, 20:45, 34:38] = Parsing.SKIN  # the left arm
    parsing[:, 58:] = Parsing.SHOES
    seen = sight(torch.rand(1, 3, 256, 192), torch.zeros(1, 1, 256, 192), parsing, standing())
    unknown = seen.parsing[0, UNKNOWN] > 0
    assert unknown[20:44, 14:34].all(), "the top"
    assert unknown[24:40, 34:36].float().mean() > 0.9, "the arm"
    assert not unknown[:14].any() and not unknown[58:].any()
    assert (seen.parsing.sum(1) == 1).all()
    assert seen.known[0, 0, 100:150, 137:140].max() == 0, "the arm is hidden in the picture"


def saved(folder, model, name, config):
    from dataclasses import asdict

    folder.mkdir()
    save_model(folder, model, {name: asdict(config)})
    return folder


def test_teacher_starts_from_what_fits_of_a_student(tmp_path, capsys):
    torch.manual_seed(0)
    student, teacher = Student(STUDENT), Teacher(TINY)
    start_from(teacher, "teacher", saved(tmp_path / "s", student, "student", STUDENT))
    assert "tensors taken" in capsys.readouterr().out
    taken = student.state_dict()
    for name in ("warper.matcher.query.1.weight", "garment.key.weight", "generator.out.weight"):
        assert torch.equal(teacher.state_dict()[name], taken[name])


def test_start_from_nothing_usable(tmp_path):
    with pytest.raises(CheckpointError, match="init: .*config.json and model.safetensors"):
        start_from(Student(STUDENT), "student", tmp_path)
    other = Student(StudentConfig(**{**SIZES, "width": 24}))
    folder = saved(tmp_path / "wide", other, "student", STUDENT)
    with pytest.raises(CheckpointError, match="does not fit this network"):
        start_from(Student(STUDENT), "student", folder)


def test_a_student_is_no_teacher(tmp_path):
    folder = saved(tmp_path / "s", Student(STUDENT), "student", STUDENT)
    with pytest.raises(CheckpointError):
        load_network("teacher", folder)


@pytest.fixture
def tutor(tmp_path):
    torch.manual_seed(1)
    folder = saved(tmp_path / "teacher", Teacher(TINY), "teacher", TINY)
    return Tutor(DistilConfig(teacher=folder))


def test_redressing_changes_the_input_alone_and_only_where_the_truth_is_a_photo(tutor):
    batch = random_batch(4, (64, 48))
    batch.photo[:] = 1
    batch.tryon[1] = 0
    batch.photo[2] = 0  # product C, whose input is the photo
    new = tutor.redressed(batch)
    assert torch.equal(new.person[1:3], batch.person[1:3])
    assert torch.equal(new.person_mask[1:3], batch.person_mask[1:3])
    assert not torch.equal(new.person[0], batch.person[0])
    out, _ = tutor.teacher(
        sight(batch.target, batch.target_mask, batch.parsing, batch.keypoints),
        batch.garment.roll(1, 0),
    )
    torch.testing.assert_close(new.person[0], out.image[0])
    for name in ("garment", "target", "target_mask", "flow", "parsing"):
        assert torch.equal(getattr(new, name), getattr(batch, name))


def test_a_worse_teacher_teaches_nothing(tutor):
    batch = random_batch(2, (64, 48))
    lesson, _ = tutor.teacher(sight_of(batch), batch.garment)
    perfect = lesson._replace(image=batch.target, flow=lesson.flow + 0.1)
    terms = tutor.terms(perfect, batch)
    assert all(float(v) == 0 for v in terms.values())
    bad = lesson._replace(image=batch.target + 5, flow=lesson.flow + 0.1)
    terms = tutor.terms(bad, batch)
    assert terms["distil_flow"] > 0.03 and terms["distil_image"] > 1


def test_pose_only_samples_are_not_distilled(tutor):
    batch = random_batch(2, (64, 48), tryon=0.0)
    lesson, _ = tutor.teacher(sight_of(batch), batch.garment)
    terms = tutor.terms(lesson._replace(image=batch.target + 5, flow=lesson.flow + 0.1), batch)
    assert all(float(v) == 0 for v in terms.values())


def grafted(half):
    torch.manual_seed(2)
    return Grafted(Student(STUDENT), Teacher(TINY), half)


def look(model, batch):
    return model(batch.person, sight_of(batch), batch.garment)[0]


def test_the_students_warp_works_in_the_teachers_pipeline():
    batch = random_batch(2, (64, 48))
    model = grafted("warp").eval()
    out = look(model, batch)
    alone, _ = model.student(batch.person, batch.garment)
    torch.testing.assert_close(out.flow, alone.flow)
    torch.testing.assert_close(out.pose.xy, alone.pose.xy)
    assert not torch.allclose(out.alpha, alone.alpha), "alpha is the teacher's"


def test_the_teachers_warp_works_before_the_students_generator():
    batch = random_batch(2, (64, 48))
    model = grafted("generator").eval()
    with torch.no_grad():  # a flow of its own, so that one can tell whose it is
        model.teacher.warper.refiners[0].head.bias.fill_(0.1)
    out = look(model, batch)
    lesson, _ = model.teacher(sight_of(batch), batch.garment)
    torch.testing.assert_close(out.flow, lesson.flow)
    assert not torch.allclose(out.flow, model.student(batch.person, batch.garment)[0].flow)
    with torch.no_grad():
        model.student.generator.out.bias[3] += 5
    assert (look(model, batch).alpha > out.alpha).all(), "alpha is the student's"


@pytest.mark.parametrize("half", ["warp", "generator"])
def test_training_one_half_leaves_all_else_as_it_was(half):
    batch = random_batch(2, (64, 48))
    model = grafted(half)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    own = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(own, 0.1)
    for _ in range(2):  # zero weights of a head keep the rest from moving at first
        out, code = model(batch.person, sight_of(batch), batch.garment)
        sum(StudentLoss(LossWeights())(out, code, batch).values()).backward()
        optimiser.step()
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    trained = ("generator",) if half == "generator" else ("garment", "person", "warper")
    assert {k.split(".")[1] for k in moved} == set(trained)
    assert not any(k.startswith("teacher.") for k in moved)


def test_modules_of_other_widths_are_refused():
    with pytest.raises(UsageError, match="distil.half: .*width is 24, the teacher's 16"):
        Grafted(Student(StudentConfig(**{**SIZES, "width": 24})), Teacher(TINY), "warp")


@torch.no_grad()
def test_released_teacher_does_not_see_the_old_garment():
    model = load_network("teacher", RELEASED)
    assert sum(p.numel() for p in model.parameters()) == 2_117_693
    batch = random_batch(1, (128, 96), seed=0)
    recoloured = torch.where(batch.person_mask > 0, 1 - batch.person, batch.person)
    first, again = (
        model(sight_of(batch._replace(person=person)), batch.garment)[0]
        for person in (batch.person, recoloured)
    )
    torch.testing.assert_close(first.image, again.image)
    other = model(sight_of(batch), 1 - batch.garment)[0]
    assert first.image.isfinite().all() and (first.image - other.image).abs().max() > 0.05
