import pytest
import torch
import torch.nn.functional as F

from dmvton.critic import Critic, CriticConfig
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from tests.batches import random_batch

SIZE = (96, 64)
TINY = StudentConfig(width=8, decoder=(8, 8, 8, 8, 8), tokens=1, pretrained=False)


@pytest.fixture
def critic():
    torch.manual_seed(0)
    return Critic(CriticConfig(weight=0.5)).train()


@pytest.fixture
def batch():
    """The old garment reaches lower than the new one, so that there is something to judge."""
    batch = random_batch(3, SIZE)
    batch.person_mask[..., 64:94, 8:56] = 1
    return batch


@pytest.fixture
def model():
    torch.manual_seed(1)
    return Student(TINY).train()


def look(model, batch):
    return model(batch.person, batch.garment)[0]


def test_it_learns_to_tell_blurred_pictures_from_sharp_ones(critic, batch, model):
    """Its own term is then far below that of a coin, which is 2."""
    with torch.no_grad():
        out = look(model, batch)
    blurred = F.avg_pool2d(batch.target, 9, 1, 4)
    out = out._replace(image=blurred)
    optimiser = torch.optim.Adam(critic.heads.parameters(), 2e-3, betas=(0.0, 0.99))
    for _ in range(30):
        terms = critic.terms(out, batch)
        optimiser.zero_grad()
        terms["critic"].backward()
        optimiser.step()
    assert terms["critic"] < 1.2
    sharp = critic.terms(out._replace(image=batch.target), batch)
    assert sharp["adversarial"] < terms["adversarial"] - 0.2


def test_network_and_critic_learn_from_their_own_term_only(critic, batch, model):
    terms = critic.terms(look(model, batch), batch)
    terms["adversarial"].backward(retain_graph=True)
    assert all(p.grad is None for p in critic.parameters())
    assert model.generator.out.weight.grad.abs().sum() > 0
    model.zero_grad()
    terms["critic"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert all(p.grad.abs().sum() > 0 for p in critic.heads.parameters() if p.ndim == 4)


def test_flow_alpha_and_light_do_not_bend_to_the_critic(critic, batch, model):
    out = look(model, batch)
    inputs = [out.flow, out.alpha, out.gain]
    term = critic.terms(out, batch)["adversarial"]
    grads = torch.autograd.grad(term, [*inputs, out.rendered], allow_unused=True)
    assert all(g is None or not g.any() for g in grads[:3])
    assert grads[3].abs().sum() > 0


def test_painted_targets_and_pose_samples_are_not_judged(critic, batch, model):
    """Nor do they change what the others cost; with nothing to judge, both terms are zero."""
    critic.eval()  # power iterations would move the scores from call to call
    out = look(model.eval(), batch)
    one = critic.terms(type(out)(*(_first(v) for v in out)), type(batch)(*(v[:1] for v in batch)))
    batch.photo[1], batch.tryon[2] = 0, 0
    some = critic.terms(out, batch)
    for name in ("adversarial", "critic"):
        torch.testing.assert_close(some[name], one[name], rtol=1e-3, atol=1e-4)
    batch.photo[:] = 0
    assert all(float(term.detach()) == 0 for term in critic.terms(out, batch).values())


def _first(value):
    if isinstance(value, torch.Tensor):
        return value[:1]
    parts = [_first(v) for v in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
