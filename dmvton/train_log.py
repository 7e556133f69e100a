"""What a training run writes down: TensorBoard scalars, validation figures and picture grids."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from dmvton.batch import Batch
from dmvton.losses import StudentLoss
from dmvton.student.encoders import GarmentCode
from dmvton.student.generator import TryOnOutput

Look = Callable[[Batch], tuple[TryOnOutput, GarmentCode]]
PERIOD = 50  # steps over which training terms are averaged


class TrainLog:
    """Means of training terms, and validation on fixed views."""

    def __init__(self, folder: Path | None):
        """`folder` is None in the processes that leave the writing to the first one."""
        self.writer = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(folder))
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, terms: dict[str, float], step: int) -> None:
        """Collects the terms of a step; writes their means every PERIOD steps."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if self.count == PERIOD:
            means = {k: v / self.count for k, v in self.sums.items()}
            self._write("train", means, step)
            self.sums, self.count = {}, 0

    @torch.no_grad()
    def validate(
        self, look: Look, loss: StudentLoss, data: Dataset, step: int,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        """Loss terms and pictures on validation samples; `look` runs a network in eval mode."""
        sums: dict[str, float] = {}
        count = 0
        for samples in DataLoader(data, batch_size=8):
            batch = Batch(*(x.to(device) for x in samples))
            out, code = look(batch)
            terms = loss(out, code, batch)
            terms["psnr_region"] = region_psnr(out.image, batch)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            if count == 0 and self.writer is not None:
                self.writer.add_image("val/pictures", picture_grid(batch, out), step)
            count += 1
        self._write("val", {k: v / count for k, v in sums.items()}, step)

    def _write(self, part: str, means: dict[str, float], step: int) -> None:
        if self.writer is None:
            return
        for name, value in means.items():
            self.writer.add_scalar(f"{part}/{name}", value, step)
        prefix = "val " if part == "val" else ""
        tqdm.write(f"{prefix}{step} " + " ".join(f"{k} {v:.3f}" for k, v in means.items()))


def region_psnr(image: Tensor, batch: Batch) -> Tensor:
    """PSNR in dB where old or new garment is, over the batch's try-on samples."""
    region = torch.maximum(batch.person_mask, batch.target_mask) * batch.tryon
    error = ((image - batch.target).square() * region).sum() / (3 * region.sum() + 1e-6)
    return -10 * torch.log10(error + 1e-8)


def picture_grid(batch: Batch, out: TryOnOutput) -> Tensor:
    """Rows of person, garment, result, target, warped garment, alpha -> (3, H, W)."""
    alpha = out.alpha.expand(-1, 3, -1, -1)
    columns = [batch.person, batch.garment, out.image, batch.target, out.warped, alpha]
    rows = [torch.cat([c[i] for c in columns], 2) for i in range(min(6, len(batch.person)))]
    return torch.cat(rows, 1).clamp(0, 1)
