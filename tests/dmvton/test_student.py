from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from dmvton.flow import upsample, warp
from dmvton.losses import LossWeights, StudentLoss
from dmvton.student.config import StudentConfig
from dmvton.student.generator import layers_of
from dmvton.student.model import Student
from dmvton.student.trunk import PRETRAINED, Trunk
from tests.batches import random_batch
from tests.dmvton.model_contract import ModelContract

TINY = StudentConfig(width=16, decoder=(16, 16, 12, 8, 8), tokens=1, pretrained=False)


class TestStudent(ModelContract):
    def build(self):
        return Student(TINY)

    def inputs(self, size, count=1):
        generator = torch.Generator().manual_seed(count)
        return tuple(torch.rand(2, count, 3, *size, generator=generator))

    def outputs(self, model, inputs):
        out, code = model(*inputs)
        named = {k: v for k, v in out._asdict().items() if isinstance(v, torch.Tensor)}
        named |= {f"flow {i}": v for i, v in enumerate(out.flows)}
        named |= out.pose._asdict()
        return named | {f"garment {k}": v for k, v in code._asdict().items()}

    def shapes(self, size, count):
        height, width = size
        planes = dict(image=3, flow=2, alpha=1, beta=1, rendered=3, gain=3, warped=3)
        shapes = {k: (count, c, height, width) for k, c in planes.items()}
        for i, stride in enumerate((16, 16, 8, 4)):
            shapes[f"flow {i}"] = (count, 2, height // stride, width // stride)
        return shapes | {
            "xy": (count, 13, 2),
            "visibility": (count, 13),
            "presence": (count, 1),
            "parsing": (count, 11, height // 4, width // 4),
            "garment mask": (count, 1, height, width),
            "garment feat8": (count, TINY.width, height // 8, width // 8),
            "garment key": (count, TINY.width, height * width // 256),
        }

    def loss(self, model, inputs):
        batch = random_batch(len(inputs[0]), tuple(inputs[0].shape[2:]))
        out, code = model(*inputs)
        return sum(StudentLoss(LossWeights())(out, code, batch).values())

    @torch.no_grad()
    def test_cached_garment_gives_the_same_picture(self, model):
        first, garment = self.inputs((128, 96))
        second = first.flip(3)
        code = model.encode(garment)
        for person in (first, second, first):
            wanted, _ = model(person, garment)
            found = model.frame(person, garment, code)
            assert torch.equal(found.image, wanted.image)
            assert torch.equal(found.flow, wanted.flow)

    def test_alpha_and_light_learn_nothing_from_the_picture(self, model):
        out, _ = model.train()(*self.inputs(self.small, 2))
        weights = list(model.generator.out.parameters())
        of_picture = torch.autograd.grad(out.image.sum(), weights, retain_graph=True)
        for logit, own in ((3, out.alpha), (5, out.gain)):
            of_own = torch.autograd.grad(own.sum(), weights, retain_graph=True)
            assert all((g[logit] == 0).all() for g in of_picture)
            assert all((g[logit] != 0).any() for g in of_own)

    @torch.no_grad()
    def test_picture_is_the_composite_of_its_parts(self, model):
        person, garment = self.inputs((128, 96), 2)
        out, _ = model(person, garment)
        dressed = (warp(garment, out.flow) * out.gain).clamp(0, 1)
        rest = out.beta * out.rendered + (1 - out.beta) * person
        picture = out.alpha * dressed + (1 - out.alpha) * rest
        torch.testing.assert_close(out.image, picture)

    @torch.no_grad()
    def test_outputs_stay_in_their_ranges(self, model):
        person, garment = self.inputs((128, 96), 2)
        out, _ = model(person, garment)
        for value in (out.image, out.alpha, out.beta, out.rendered):
            assert 0 <= value.min() and value.max() <= 1
        assert out.flow.abs().max() <= 1
        assert out.gain.min() > 0
        assert out.pose.xy.abs().max() <= 1

    @torch.no_grad()
    def test_new_network_starts_from_the_coarse_match(self, model):
        """The refiners change nothing before they are trained."""
        out, _ = model(*self.inputs((128, 96)))
        torch.testing.assert_close(out.flows[1], out.flows[0])

    def test_garment_changes_the_picture(self, model):
        person, garment = self.inputs((128, 96))
        with torch.no_grad():
            difference = model(person, garment)[0].image - model(person, 1 - garment)[0].image
        assert difference.abs().max() > 1e-3


class TestFineStudent(TestStudent):
    """With a level at twice the size; all else sees pictures of half the size."""

    small = (128, 96)

    def build(self):
        student = Student(replace(TINY, fine=6))
        torch.nn.init.normal_(student.generator.fine.out.weight, 0, 0.05)  # it starts from zeros
        return student

    def shapes(self, size, count):
        height, width = size[0] // 2, size[1] // 2
        half = super().shapes((height, width), count)
        full = ("image", "flow", "alpha", "beta", "rendered", "gain", "warped", "garment mask")
        whole = super().shapes(size, count)
        return half | {name: whole[name] for name in (*full, "parsing")}

    @torch.no_grad()
    def test_new_level_changes_nothing(self):
        """Until it is trained, a student answers as the one of half the size that it came from."""
        torch.manual_seed(0)
        fine = Student(replace(TINY, fine=6)).eval()
        core = Student(TINY).eval()
        torch.nn.init.zeros_(fine.generator.fine.out.weight)
        state = fine.state_dict()
        core.load_state_dict({k: state[k] for k in core.state_dict()})
        person, garment = (F.interpolate(x, scale_factor=2.0) for x in self.inputs((128, 96)))
        code = fine.encode(garment)
        out = fine.frame(person, garment, code)
        known = core.garment(F.avg_pool2d(garment, 2))._replace(mask=F.avg_pool2d(code.mask, 2))
        wanted = core.frame(F.avg_pool2d(person, 2), F.avg_pool2d(garment, 2), known)
        for name in ("alpha", "beta", "gain"):  # equal before the last sigmoid or exponential
            found, truth = (getattr(o, name) for o in (out, wanted))
            torch.testing.assert_close(F.avg_pool2d(found, 2), truth, rtol=0.02, atol=0.02)
        torch.testing.assert_close(out.flow, upsample(wanted.flows[-1], 8).clamp(-1, 1))


def test_default_network_keeps_its_budget():
    """At most 4 M parameters and 1 GMAC a frame at 256x192, garment cached."""
    with torch.device("meta"):
        student = Student(StudentConfig(pretrained=False)).eval()
        person, garment = torch.rand(2, 1, 3, 256, 192)
        code = student.garment(garment)
        with FlopCounterMode(display=False) as counter:
            student.frame(person, garment, code)
    macs = counter.get_total_flops() / 2
    parameters = sum(p.numel() for p in student.parameters())
    assert 0.1e6 < parameters <= 4e6
    assert 0.1e9 < macs <= 1e9


@pytest.mark.parametrize("frozen", [0, 2, 5])
def test_frozen_stages_of_the_trunk(frozen):
    trunk = Trunk(pretrained=False, frozen_stages=frozen)
    for i, stage in enumerate(trunk.stages):
        assert all(p.requires_grad == (i >= frozen) for p in stage.parameters())
    assert all(p.requires_grad == (frozen == 0) for p in trunk.stem.parameters())


@torch.no_grad()
def test_pretrained_trunk_tells_pictures_apart():
    assert PRETRAINED.exists()
    trunk = Trunk().eval()
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    pictures = torch.stack([x, y, (16 * x).sin() / 2 + 0.5])[:, None].expand(-1, 3, -1, -1)
    features = trunk(pictures)
    for value, stride in zip(features, (2, 4, 8, 16), strict=True):
        assert value.shape[2:] == (64 // stride, 64 // stride)
        assert value.isfinite().all()
        assert (value[0] - value[2]).abs().mean() > 0.05 * value.abs().mean()


def composed(skin, raw, person):
    """The picture without a garment, where the parsing is sure of skin where `skin` is 1."""
    skin = skin.clamp(1e-3, 1 - 1e-3)  # (N, 1, H/4, W/4)
    alpha, beta, _, rendered = layers_of(
        raw, F.avg_pool2d(person, 2), skin, upsample(skin.logit(), 4)
    )
    assert alpha.max() < 1e-6
    return beta * rendered + (1 - beta) * person


def bared(size=(64, 48)):
    """Raw outputs that keep the left half and render the right one, black, and the person."""
    raw = torch.zeros(1, 8, *size)
    raw[:, :5] = -20
    raw[:, 4, :, 24:] = 20
    return raw, torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 0.2


def test_bared_skin_has_the_tone_of_the_skin_that_is_kept():
    raw, person = bared()
    tone = torch.tensor([0.8, 0.6, 0.5])[None, :, None, None]
    skin = torch.zeros(1, 1, 16, 12)
    skin[..., 2:10, 1:4] = 1  # a face that is kept
    skin[..., 4:12, 8:11] = 1  # an arm that a sleeve hides
    person[..., 8:40, 4:16] = tone
    image = composed(skin, raw, person)
    arm = image[..., 20:44, 35:41]
    assert (arm - tone).abs().max() < 0.12
    torch.testing.assert_close(image[..., :24], person[..., :24], rtol=0, atol=1e-6)
    assert image[..., 26:30].max() < 0.05, "what is no skin is rendered as it comes"
    raw[:, 7] = -0.5
    assert composed(skin, raw, person)[..., 20:44, 35:41].mean() < arm.mean() - 0.1


def test_without_skin_in_view_the_tone_is_the_networks_own():
    raw, person = bared()
    skin = torch.zeros(1, 1, 16, 12)
    skin[..., 4:12, 8:11] = 1
    raw[:, :3] = 0.0
    person[..., 24:] = 0.9  # the sleeve: nothing of it is kept
    assert (composed(skin, raw, person)[..., 30:] - 0.5).abs().max() < 0.02


def test_dark_and_light_skin_are_told_apart():
    raw, person = bared()
    skin = torch.zeros(1, 1, 16, 12)
    skin[..., 2:10, 1:4] = 1
    skin[..., 4:12, 8:11] = 1
    for value in (0.15, 0.5, 0.85):
        person[..., 8:40, 4:16] = value
        arm = composed(skin, raw, person)[..., 20:44, 35:41]
        assert (arm - value).abs().max() < 0.12
