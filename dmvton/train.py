"""The one training loop; stages are data.

Every state is written whole, with the optimiser and the position in the data, so that a run that
was killed goes on at the very step of its last state:
`dmvton train --stage student.full --resume true`.

Several processes or GPUs, one machine or more: `torchrun --nproc-per-node 4 -m dmvton.train` with
the same arguments, or `accelerate launch`. The batch is the whole one, which they share.
"""

import os
import signal
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from dmvton.augment import AugmentConfig
from dmvton.batch import Batch
from dmvton.checkpoint import load_state, save_model, save_state
from dmvton.critic import Critic, CriticConfig
from dmvton.dataset import TryOnDataset, ViewSampler
from dmvton.distil import DistilConfig, Grafted, Tutor
from dmvton.errors import UsageError
from dmvton.losses import LossWeights, StudentLoss
from dmvton.memory import keep_memory
from dmvton.networks import NETWORKS, start_from
from dmvton.parallel import average_gradients, with_whole_batch_norm
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode
from dmvton.student.generator import TryOnOutput
from dmvton.student.model import Student
from dmvton.teacher.model import TeacherConfig
from dmvton.teacher.sight import sight_of
from dmvton.train_log import TrainLog


@dataclass(frozen=True)
class TrainConfig:
    """One stage of training."""

    out: Path
    """Folder of the run: states, logs, and `ema/` with the weights to use."""
    data: list[Path]
    """Folders of shards for training."""
    without: list[str] = field(default_factory=list)
    """Products (A, B, C, D) to leave out of the training shards, to see what they bring."""
    val: list[Path] = field(default_factory=list)
    """Folders of shards for validation."""
    network: Literal["student", "teacher"] = "student"
    init: Path | None = None
    """Checkpoint folder to start from; a teacher may start from a student and takes what fits."""
    only: Literal["all", "fine"] = "all"
    """What is trained: everything, or the level at twice the size alone (`--student.fine`), for
    which all else stays as it is, to the statistics of its batch norms."""
    size: tuple[int, int] = (256, 192)
    """Height and width."""
    batch_size: int = 8
    """Samples a step, over all processes."""
    steps: int = 20000
    lr: float = 1e-3
    trunk_lr: float = 0.25
    """Learning rate of the pretrained trunks as a share of `lr`."""
    warmup: int = 200
    floor: float = 0.02
    """Final learning rate as a share of `lr` (cosine)."""
    weight_decay: float = 1e-4
    clip: float = 5.0
    """Largest gradient norm."""
    ema: float = 0.998
    seed: int = 0
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision, for GPUs."""
    threads: int = 1
    """Threads of each process."""
    workers: int = 1
    save_minutes: float = 4.0
    val_every: int = 1000
    losses: LossWeights = field(default_factory=LossWeights)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)


def learning_rate(cfg: TrainConfig, step: int) -> float:
    """Warm-up, then cosine, as a factor of `lr`."""
    if step < cfg.warmup:
        return (step + 1) / cfg.warmup
    share = min(1.0, (step - cfg.warmup) / max(1, cfg.steps - cfg.warmup))
    return cfg.floor + (1 - cfg.floor) * 0.5 * (1 + np.cos(np.pi * share))


class Trainer:
    """Model, EMA, optimiser and position; `run` trains until the stage's last step."""

    def __init__(self, cfg: TrainConfig):
        torch.manual_seed(cfg.seed)
        self.engine = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=cfg.precision)
        self.cfg, self.step, self.seconds = cfg, 0, 0.0
        # Channels last makes a CPU step a quarter faster.
        self.network = NETWORKS[cfg.network]
        self.sizes = getattr(cfg, cfg.network)
        self.model = self.network.build(self.sizes).to(memory_format=torch.channels_last)
        if cfg.init:
            start_from(self.model, cfg.network, cfg.init)
        if self.engine.num_processes > 1:
            with_whole_batch_norm(self.model)
        self.model.to(self.engine.device)
        self.alone: nn.Module | None = None  # the one part that is trained, where it is one
        if cfg.only == "fine":
            assert isinstance(self.model, Student) and self.model.generator.fine
            self.model.requires_grad_(False)
            self.alone = self.model.generator.fine.requires_grad_(True)
        self.ema = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.loss = StudentLoss(cfg.losses).to(self.engine.device)
        self.tutor = Tutor(cfg.distil, self.engine.device) if cfg.distil.teacher else None
        self.grafted = cfg.distil.half if self.tutor and cfg.distil.half != "both" else None
        used = self._in_use(self.model)
        self.critic = Critic(cfg.critic).to(self.engine.device) if cfg.critic.weight else None
        self.optimiser = torch.optim.AdamW(self._groups(), cfg.lr, weight_decay=cfg.weight_decay)
        self.base_rates = [g["lr"] for g in self.optimiser.param_groups]
        self.wrapped, self.stepper = self.engine.prepare(used, self.optimiser)
        self.stop = False

    def _in_use(self, model: nn.Module) -> nn.Module:
        """The network, or the half of it that is trained with the other half of the teacher."""
        if self.grafted is None:
            return model
        assert self.tutor is not None
        return Grafted(model, self.tutor.teacher, self.grafted)

    def _to_training(self) -> None:
        self.wrapped.train()
        if self.alone is not None:
            self.model.eval()
            self.alone.train()

    def _look(self, model: nn.Module, batch: Batch) -> tuple[TryOnOutput, GarmentCode]:
        if self.grafted is None:
            return self.network.look(model, batch)
        return model(batch.person, sight_of(batch), batch.garment, batch.garment_fill)

    def _groups(self) -> list[dict]:
        cfg, own = self.cfg, self._own()
        trunk = [p for n, p in own if ".trunk." in n]
        rest = [p for n, p in own if ".trunk." not in n]
        groups: list[dict] = [{"params": rest}, {"params": trunk, "lr": cfg.lr * cfg.trunk_lr}]
        if self.critic:
            heads = list(self.critic.heads.parameters())
            groups.append({"params": heads, "lr": cfg.lr * cfg.critic.lr, "betas": (0.0, 0.99)})
        return groups

    # -- state ----------------------------------------------------------------------------------

    def _own(self) -> list[tuple[str, nn.Parameter]]:
        return [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]

    def _optimised(self) -> list[tuple[str, nn.Parameter]]:
        """Trained parameters by name, those of the critic too."""
        heads = self.critic.heads.named_parameters() if self.critic else ()
        return [*self._own(), *((f"critic.{n}", p) for n, p in heads)]

    def save(self) -> None:
        """Writes the state to go on from, and the EMA weights as a checkpoint."""
        if not self.engine.is_main_process:
            return
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        if self.critic:
            tensors |= {f"critic.{k}": v for k, v in self.critic.heads.state_dict().items()}
        for name, p in self._optimised():
            for key, value in self.optimiser.state.get(p, {}).items():
                tensors[f"optim.{key}.{name}"] = value
        save_state(self.cfg.out, self.step, tensors, {"seconds": self.seconds})
        folder = self.cfg.out / "ema"
        folder.mkdir(exist_ok=True)
        config = {self.cfg.network: asdict(self.sizes), "step": self.step}
        save_model(folder, self.ema_model(), config)

    def resume(self) -> bool:
        """Loads the newest state; False where there is none."""
        found = load_state(self.cfg.out)
        if found is None:
            return False
        tensors, meta = found
        self.model.load_state_dict(_part(tensors, "model."))
        device = self.engine.device
        if self.critic and (heads := _part(tensors, "critic.")):
            self.critic.heads.load_state_dict(heads)
        self.ema = {k: v.to(device) for k, v in _part(tensors, "ema.").items()}
        for name, p in self._optimised():
            keys = {k: f"optim.{k}.{name}" for k in ("step", "exp_avg", "exp_avg_sq")}
            if keys["step"] in tensors:
                state = {k: tensors[key] for k, key in keys.items()}
                moments = {k: v if k == "step" else v.to(device) for k, v in state.items()}
                self.optimiser.state[p] = moments
        self.step, self.seconds = meta["step"], meta["seconds"]
        return True

    def ema_model(self) -> nn.Module:
        """A copy of the network with the averaged weights, in eval mode."""
        model = self.network.build(self.sizes)
        model.load_state_dict(self.ema)
        return model.eval().to(self.engine.device)

    # -- training -------------------------------------------------------------------------------

    def update(self, batch: Batch) -> dict[str, float]:
        """One step; returns the weighted loss terms."""
        rate = learning_rate(self.cfg, self.step)
        for group, base in zip(self.optimiser.param_groups, self.base_rates, strict=True):
            group["lr"] = base * rate
        layout = torch.channels_last
        batch = Batch(*(x.to(self.engine.device, non_blocking=True) for x in batch))
        batch = batch._replace(
            person=batch.person.to(memory_format=layout),
            garment=batch.garment.to(memory_format=layout),
        )
        if self.tutor and _chance(self.cfg.seed, self.step) < self.cfg.distil.redress:
            batch = self.tutor.redressed(batch)
        out, code = self._look(self.wrapped, batch)
        terms = self.loss(out, code, batch)
        if self.tutor:
            terms |= self.tutor.terms(out, batch)
        if self.critic:
            terms |= self.critic.terms(out, batch)
        total = sum(terms.values())
        if not torch.isfinite(total):
            raise FloatingPointError(
                f"loss is {float(total.detach())} at step {self.step}: {terms}"
            )
        self.stepper.zero_grad()
        self.engine.backward(total)
        self.engine.clip_grad_norm_([p for _, p in self._own()], self.cfg.clip)
        if self.critic:
            average_gradients(self.critic.heads)
        self.stepper.step()
        self._average()
        self.step += 1
        return {k: float(v.detach()) for k, v in terms.items()}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.cfg.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.ema[key].lerp_(value, 1 - decay)
            else:
                self.ema[key].copy_(value)

    def validate(self, log: TrainLog) -> None:
        """Writes down how the EMA weights do on fixed views of the validation shards.

        Every process does: the loss is that of all of them.
        """
        cfg, device = self.cfg, self.engine.device
        data = TryOnDataset(cfg.val, cfg.size, cfg.augment, seed=1, limit=128)
        model = self._in_use(self.ema_model()).eval()
        log.validate(lambda b: self._look(model, b), self.loss, data, self.step, device)

    def _told_to_stop(self) -> bool:
        """Whether any process got a signal, so that all of them end at the same step."""
        if self.engine.num_processes == 1:
            return self.stop
        told = torch.tensor(float(self.stop), device=self.engine.device)
        return float(self.engine.reduce(told, "sum")) > 0

    def run(self) -> None:
        """Trains to the last step, or until SIGTERM or SIGINT, then saves."""
        cfg, engine = self.cfg, self.engine
        if self.step >= cfg.steps:
            return
        log = TrainLog(cfg.out / "log" if engine.is_main_process else None)
        data = TryOnDataset(cfg.data, cfg.size, cfg.augment, cfg.seed, without=cfg.without)
        sampler = ViewSampler(len(data), cfg.batch_size, cfg.seed, self.step,
                              engine.process_index, engine.num_processes)  # fmt: skip
        loader = DataLoader(data, batch_sampler=sampler, num_workers=cfg.workers,
                            prefetch_factor=4 if cfg.workers else None,
                            worker_init_fn=_deaf)  # fmt: skip
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stop", True))
        self._to_training()
        saved = started = time.monotonic()
        before = self.seconds
        bar = tqdm(total=cfg.steps, initial=self.step, unit="step", mininterval=5,
                   disable=not engine.is_main_process)  # fmt: skip
        for batch in loader:
            log.add(self.update(batch), self.step)
            bar.update()
            now = time.monotonic()
            self.seconds = before + now - started
            done = self._told_to_stop() or self.step >= cfg.steps
            if cfg.val and (self.step % cfg.val_every == 0 or self.step == cfg.steps):
                self.validate(log)
            if done or now - saved > 60 * cfg.save_minutes:
                self.save()
                saved = time.monotonic()
            if done:
                break
        bar.close()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _deaf(_worker: int) -> None:
    """Ctrl-C reaches the whole process group: the loop has to save, with its workers alive."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _chance(seed: int, step: int) -> float:
    """A number in [0, 1) that depends on seed and step alone, so that a resumed run goes on."""
    return float(np.random.default_rng([seed, step]).random())


# The warp is learnt at low resolution, four times as fast, together with everything else: what the
# generator asks of the warp is part of the lesson. The full stage adds detail.
_WARP: dict = dict(size=(128, 96), batch_size=16, lr=1.5e-3, steps=20000)
_FULL: dict = dict(size=(256, 192), batch_size=8, lr=4e-4, steps=20000)
# Starts from a trained student of half the size: `--init`.
_FINE: dict = dict(
    size=(512, 384), batch_size=16, lr=1e-3, steps=2000, only="fine",
    student=StudentConfig(fine=16, pretrained=False),
)  # fmt: skip
# What sets a stage apart from the defaults of `TrainConfig`.
STAGES: dict[str, dict] = {
    "teacher.warp": dict(network="teacher", **_WARP),
    "teacher.full": dict(network="teacher", **_FULL),
    "student.warp": _WARP,
    "student.full": _FULL,
    "student.fine": _FINE,
}


def check(cfg: TrainConfig, resume: bool) -> None:
    """Refuses what can't be trained, before anything is written.

    Raises:
        UsageError: the folder already holds a run and `resume` was not asked for, or the size does
            not suit the network, the processes can't share the batch evenly, half a student is to
            be trained without a teacher for the other half, or the level at twice the size without
            a student to add it to.
    """
    if not resume and list(cfg.out.glob("state-*")):
        raise UsageError(f"{cfg.out} holds a run already; pass --resume true or another --out")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if cfg.batch_size % processes:
        raise UsageError(
            f"batch_size is {cfg.batch_size}; expected a multiple of the {processes} processes"
        )
    if cfg.distil.half != "both" and (cfg.distil.teacher is None or cfg.network != "student"):
        raise UsageError(
            f"distil.half is {cfg.distil.half}; expected a student to train, and --distil.teacher"
        )
    if cfg.only == "fine" and (cfg.network != "student" or not cfg.student.fine or not cfg.init):
        raise UsageError(
            "only is fine; expected a student with --student.fine 16, and --init, the trained "
            "student of half the size that it is added to"
        )
    if cfg.network == "teacher" and cfg.teacher.fine:
        raise UsageError(f"teacher.fine is {cfg.teacher.fine}; expected 0: only students have it")
    if cfg.network == "student" and cfg.student.fine and cfg.distil.teacher:
        raise UsageError(
            f"distil.teacher is {cfg.distil.teacher} and student.fine {cfg.student.fine}; expected "
            "one or the other: teachers are trained on pictures of half that size"
        )
    multiple = 32 if cfg.student.fine else 16
    if any(side % multiple or side < multiple for side in cfg.size):
        raise UsageError(
            f"size is {cfg.size}; expected height and width as multiples of {multiple}"
        )


def train(cfg: TrainConfig, resume: bool = False) -> None:
    """Runs one stage; raises as `check` does."""
    check(cfg, resume)
    cfg.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(cfg.threads)
    keep_memory()
    trainer = Trainer(cfg)
    if resume and trainer.resume():
        print(f"going on at step {trainer.step}")
    trainer.run()


def main(argv: list[str] | None = None, config: type[TrainConfig] = TrainConfig) -> None:
    """`dmvton train --stage NAME --out DIR --data DIR ... [--config F] [--resume true]`.

    `config` may add the sizes of a network of its own to `TrainConfig`, as benchmarks do.
    """
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    known = {f.name for f in fields(config)}
    parser = ArgumentParser(description="Train one stage; a killed run goes on with --resume true.")
    parser.add_argument("--config", action="config")
    parser.add_argument("--stage", choices=sorted(STAGES), default="student.full")
    parser.add_argument("--resume", type=bool, default=False)
    parser.add_class_arguments(config)
    stage = parser.parse_args(argv, defaults=True).stage
    parser.set_defaults(
        {k: asdict(v) if isinstance(v, StudentConfig) else v for k, v in STAGES[stage].items()}
    )
    args = parser.parse_args(argv)
    values = parser.instantiate_classes(args)
    cfg = config(**{k: v for k, v in values.as_dict().items() if k in known})
    check(cfg, args.resume)
    cfg.out.mkdir(parents=True, exist_ok=True)
    parser.save(args, str(cfg.out / "train.yaml"), overwrite=True)
    train(cfg, args.resume)


if __name__ == "__main__":
    main()
