"""What every network of the project has to hold; a test class inherits it and builds one."""

import pytest
import torch
from torch import Tensor, nn

from dmvton.checkpoint import load_model, save_model

SIZES = ((256, 192), (512, 384), (128, 96))


class ModelContract:
    """Tests of the tiny network that `build` makes."""

    small: tuple[int, int] = (64, 48)  # the least work

    def build(self) -> nn.Module:
        """A new tiny network."""
        raise NotImplementedError

    def inputs(self, size: tuple[int, int], count: int = 1) -> tuple[Tensor, ...]:
        """Random inputs of a size; the same ones each time."""
        raise NotImplementedError

    def outputs(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """All outputs by name."""
        raise NotImplementedError

    def shapes(self, size: tuple[int, int], count: int) -> dict[str, tuple[int, ...]]:
        """Expected shape of the outputs that have one worth stating."""
        raise NotImplementedError

    def loss(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """A loss that depends on everything that is trained."""
        raise NotImplementedError

    @pytest.fixture
    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().eval()

    @pytest.mark.parametrize("size", SIZES)
    @torch.no_grad()
    def test_same_weights_run_at_every_size(self, model, size):
        out = self.outputs(model, self.inputs(size))
        assert all(value.isfinite().all() for value in out.values())
        shapes = self.shapes(size, 1)
        assert {name: tuple(out[name].shape) for name in shapes} == shapes

    @torch.no_grad()
    def test_each_sample_of_a_batch_is_treated_alone(self, model):
        first, second = self.inputs((128, 96)), self.inputs((128, 96), 2)
        one = self.outputs(model, first)
        both = self.outputs(
            model, tuple(torch.cat([a, b]) for a, b in zip(first, second, strict=True))
        )
        for name, value in one.items():
            torch.testing.assert_close(both[name][:1], value, rtol=1e-4, atol=1e-5)

    def test_all_that_is_trained_gets_a_gradient_and_nothing_else(self):
        torch.manual_seed(0)
        model = self.build().train()
        self.loss(model, self.inputs(self.small, 2)).backward()
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                assert parameter.grad is None, f"{name} is frozen"
                continue
            assert parameter.grad is not None, f"{name} is not part of the loss"
            assert parameter.grad.isfinite().all(), name
            if parameter.ndim > 1:  # a bias before a softmax has none by nature
                assert parameter.grad.abs().max() > 0, f"{name} has a zero gradient"

    def test_some_parameters_are_frozen_and_a_step_leaves_them(self):
        torch.manual_seed(0)
        model = self.build().train()
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        self.loss(model, self.inputs(self.small, 2)).backward()
        trained = [p for p in model.parameters() if p.requires_grad]
        torch.optim.SGD(trained, 0.1).step()
        frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
        same = {n for n, p in model.named_parameters() if torch.equal(p, before[n])}
        assert frozen and frozen <= same
        assert len(same - frozen) < 0.2 * len(trained)

    @torch.no_grad()
    def test_checkpoint_round_trip_is_exact(self, model, tmp_path):
        save_model(tmp_path, model, {"network": "tiny"})
        configs = []
        again = load_model(tmp_path, lambda config: configs.append(config) or self.build()).eval()
        assert configs == [{"network": "tiny"}]
        wanted, found = model.state_dict(), again.state_dict()
        assert wanted.keys() == found.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        inputs = self.inputs(self.small)
        out, out_again = self.outputs(model, inputs), self.outputs(again, inputs)
        assert all(torch.equal(out_again[name], out[name]) for name in out)
