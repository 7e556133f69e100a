"""Training on several processes as if on one: the same batch, the same statistics, the same losses.

Accelerate starts the processes, moves tensors and averages gradients. What it leaves to us is what
depends on the whole batch: batch norm, and the means over masks.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def mean_of_processes(value: Tensor) -> Tensor:
    """Mean over the processes of a tensor, without gradient.

    A sum divided by it is, once gradients are averaged over the processes, the sum over all of the
    batch divided by the whole batch's value.
    """
    count = processes()
    if count == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / count


def average_gradients(module: nn.Module) -> None:
    """Averages over the processes the gradients of a module that Accelerate did not prepare."""
    if processes() > 1:
        for parameter in module.parameters():
            assert parameter.grad is not None
            dist.all_reduce(parameter.grad)
            parameter.grad.div_(processes())


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes. torch's own `SyncBatchNorm` runs on a GPU only."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W), of which each process holds a part of N."""
        if not self.training or processes() == 1:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        count = x.numel() / x.shape[1] * processes()
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            momentum = self.momentum or 0.1
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def with_whole_batch_norm(model: nn.Module) -> nn.Module:
    """The model, its batch norm layers changed in place; names of the weights stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WholeBatchNorm
    return model
