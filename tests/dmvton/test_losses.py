from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from dmvton.flow import warp
from dmvton.losses import LossWeights, StudentLoss
from dmvton.parsing import Parsing
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, Pose
from dmvton.student.generator import TryOnOutput
from dmvton.student.model import Student
from tests.batches import random_batch

SIZE = (64, 48)
NAMES = [f.name for f in fields(LossWeights)]
ONES = LossWeights(**{name: 1.0 for name in NAMES})
# Terms that say something about the try-on; `smooth` holds of any flow, the rest are of the pose.
TRYON = set(NAMES) - {"smooth", "keypoints", "visibility"}
TINY = StudentConfig(width=8, decoder=(8, 8, 8, 8, 8), tokens=1, pretrained=False)


@pytest.fixture(scope="module")
def loss():
    return StudentLoss(ONES)


@pytest.fixture
def batch():
    """The old garment reaches lower than the new one, so that there is something to bare."""
    batch = random_batch(2, SIZE)
    batch.person_mask[..., 48:60, 12:36] = 1
    return batch


def sure(truth):
    """Logits of a probability that is 0 or 1."""
    return (truth * 2 - 1) * 20


def perfect(batch):
    """Output and garment code that agree with the truth of the batch."""
    target, mask = batch.target, batch.target_mask
    flows = [F.interpolate(batch.flow, scale_factor=1 / s, mode="area") for s in (16, 16, 8, 4)]
    parsing = F.one_hot(batch.parsing, 11).permute(0, 3, 1, 2).float()
    pose = Pose(batch.keypoints[..., :2], sure(batch.keypoints[..., 2]), sure(batch.presence))
    worn = warp(batch.garment_fill, batch.flow).clamp(min=1e-3)
    out = TryOnOutput(
        image=target,
        flow=batch.flow,
        alpha=mask,
        beta=batch.person_mask,
        rendered=target,
        gain=torch.where(mask > 0.9, target.clamp(min=1e-3) / worn, 1.0),
        warped=target,
        flows=tuple(flows),
        pose=pose,
        parsing=sure(parsing),
    )
    blank = torch.zeros(2, 8, 4, 3)
    return out, GarmentCode(batch.garment_mask, blank, blank, blank, blank.flatten(2))


def test_perfect_prediction_costs_nothing(loss, batch):
    terms = loss(*perfect(batch), batch)
    assert set(terms) == set(NAMES)
    # Distances are sqrt(d^2 + 1e-8), over four scales of flow.
    assert {name: float(value) for name, value in terms.items() if value > 4e-3} == {}
    assert all(value >= 0 for value in terms.values())


def wrong_pose(out, **changes):
    return out._replace(pose=out.pose._replace(**changes))


WRONG = {
    "flow": lambda o, c: (o._replace(flows=tuple(f + 0.1 for f in o.flows)), c),
    "shape": lambda o, c: (o._replace(flows=tuple(1.2 * f for f in o.flows)), c),
    "smooth": lambda o, c: (
        o._replace(flows=tuple(f + 0.1 * torch.rand_like(f) for f in o.flows)),
        c,
    ),
    "image": lambda o, c: (o._replace(image=1 - o.image), c),
    "region": lambda o, c: (o._replace(image=1 - o.image), c),
    "detail": lambda o, c: (o._replace(image=F.avg_pool2d(o.image, 5, 1, 2)), c),
    "perceptual": lambda o, c: (o._replace(image=F.avg_pool2d(o.image, 5, 1, 2)), c),
    "warped": lambda o, c: (o._replace(warped=1 - o.warped), c),
    "light": lambda o, c: (o._replace(gain=0.7 * o.gain), c),
    "alpha": lambda o, c: (o._replace(alpha=1 - o.alpha), c),
    "rest": lambda o, c: (o._replace(beta=1 - o.beta), c),
    "front": lambda o, c: (o._replace(beta=1 - o.beta), c),
    "mask": lambda o, c: (o, c._replace(mask=1 - c.mask)),
    "parsing": lambda o, c: (o._replace(parsing=-o.parsing), c),
    "keypoints": lambda o, c: (wrong_pose(o, xy=o.pose.xy + 0.2), c),
    "visibility": lambda o, c: (wrong_pose(o, presence=-o.pose.presence), c),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_term_sees_its_error(loss, batch, name):
    terms = loss(*WRONG[name](*perfect(batch)), batch)
    assert terms[name] > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_weight_scales_its_term_and_zero_drops_it(batch, name):
    out, code = WRONG[name](*perfect(batch))
    plain, doubled, off = (
        StudentLoss(replace(LossWeights(), **{name: weight}))(out, code, batch)
        for weight in (1.0, 2.0, 0.0)
    )
    assert name not in off
    assert set(plain) - set(off) == {name}
    torch.testing.assert_close(doubled[name], 2 * plain[name])


def test_error_outside_both_garments_is_in_no_regional_term(loss, batch):
    out, code = perfect(batch)
    image = out.image.clone()
    image[..., :8, :] = 1 - image[..., :8, :]
    terms = loss(out._replace(image=image), code, batch)
    assert terms["image"] > 0.02
    assert terms["region"] == 0


def test_a_hand_beside_a_garment_is_kept(loss, batch):
    """What lies in front may touch a garment: there `rest` says nothing."""
    batch.parsing[:] = Parsing.BACKGROUND
    out, code = perfect(batch)
    touching = (F.max_pool2d(batch.target_mask, 5, 1, 2) - batch.target_mask).clamp(min=0)
    touching *= batch.person_mask < 0.1
    covered = out._replace(alpha=out.alpha + touching)
    wall = loss(covered, code, batch)
    assert wall["front"] == 0 and wall["rest"] < 4e-3 and touching.sum() > 10
    batch.parsing[:] = Parsing.SKIN
    assert loss(covered, code, batch)["front"] > 0.02
    assert loss(out, code, batch)["front"] < 4e-3


def test_offset_of_the_flow_leaves_its_shape(loss, batch):
    out, code = perfect(batch)
    moved = out._replace(flows=tuple(f + 0.3 for f in out.flows))
    terms = loss(moved, code, batch)
    assert terms["flow"] > 0.5 and terms["shape"] < 4e-3


def test_fold_of_the_truth_is_no_error_of_shape(loss, batch):
    """Two layers of cloth side by side: the truth jumps, and so may the flow."""
    batch.flow[..., 24:] += 0.5
    terms = loss(*perfect(batch), batch)
    assert terms["shape"] < 4e-3 and terms["smooth"] > 0.02


def test_flow_outside_the_garment_is_free(loss, batch):
    out, code = perfect(batch)
    flows = []
    for flow in out.flows:
        inside = F.interpolate(batch.target_mask, size=flow.shape[2:], mode="area")
        flows.append(torch.where(inside > 0, flow, flow + 0.5))
    changed = loss(out._replace(flows=tuple(flows)), code, batch)
    same = loss(out, code, batch)
    torch.testing.assert_close(changed["flow"], same["flow"])
    torch.testing.assert_close(changed["shape"], same["shape"])


def test_light_is_that_of_the_true_flow(loss, batch):
    """A warp that lies off costs the light nothing, and the picture teaches it nothing."""
    out, code = perfect(batch)
    moved = out._replace(flow=out.flow + 0.3, warped=1 - out.warped, image=1 - out.image)
    assert loss(moved, code, batch)["light"] == loss(out, code, batch)["light"]


def test_light_is_one_beside_the_garment(loss, batch):
    out, code = perfect(batch)
    gain = torch.where(batch.target_mask > 0, out.gain, 2.0)
    assert loss(out._replace(gain=gain), code, batch)["light"] > 0.02


def test_pose_only_samples_cost_nothing_for_the_try_on(loss):
    """And leave finite gradients, also where every sample of a batch is pose-only."""
    torch.manual_seed(0)
    batch = random_batch(2, SIZE, tryon=0.0)
    model = Student(TINY).train()
    out, code = model(batch.person, batch.garment)
    terms = loss(out, code, batch)
    assert {name: float(terms[name]) for name in TRYON if terms[name] != 0} == {}
    assert terms["keypoints"] > 0.02 and terms["visibility"] > 0.02
    sum(terms.values()).backward()
    grads = [p.grad for p in model.person.parameters() if p.grad is not None]
    assert grads and all(g.isfinite().all() for g in grads)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_pose_only_samples_do_not_change_the_terms_of_the_others(loss, batch):
    batch.tryon[1] = 0
    out, code = perfect(batch)
    noise = torch.rand_like(out.image[1])
    image, alpha = out.image.clone(), out.alpha.clone()
    image[1], alpha[1] = noise, noise[:1]
    terms = loss(out._replace(image=image, alpha=alpha), code, batch)
    assert all(terms[name] < 4e-3 for name in TRYON)


def test_pictures_without_a_person_teach_presence_only(loss, batch):
    batch.presence[:] = 0
    out, code = perfect(batch)
    terms = loss(wrong_pose(out, xy=out.pose.xy + 1, visibility=-out.pose.visibility), code, batch)
    assert terms["keypoints"] == 0
    assert terms["visibility"] < 1e-3
    absent = loss(wrong_pose(out, presence=-out.pose.presence), code, batch)
    assert absent["visibility"] > 5
