import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dmvton.augment import AugmentConfig
from dmvton.checkpoint import load_state, save_model
from dmvton.dataset import TryOnDataset
from dmvton.distil import DistilConfig
from dmvton.errors import CheckpointError, UsageError
from dmvton.losses import LossWeights
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from dmvton.teacher.model import Teacher, TeacherConfig
from dmvton.train import STAGES, TrainConfig, Trainer, check, learning_rate, train
from dmvton.train_log import picture_grid, region_psnr
from export.pair import load_student
from tests.batches import random_batch
from tests.samples import write_shards

ROOT = Path(__file__).parents[2]
TINY = StudentConfig(width=8, decoder=(8, 8, 8, 8, 8), tokens=1, pretrained=False)
STEPS = 7  # four steps an epoch, so that the run ends within the second


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), "CDCKCNDC")


def config(out, shards, **changes):
    base = TrainConfig(out=out, data=[shards], size=(64, 48), batch_size=2, steps=STEPS, workers=0,
                       warmup=2, student=TINY, save_minutes=0.0)  # fmt: skip
    return replace(base, **changes)


# A process of its own: it sets signal handlers, and one run is killed. `die` is the step whose
# update is finished, but not saved, when the kill comes.
RUN = """
import os, sys
import dmvton.train as module

die = int(sys.argv[1])
update = module.Trainer.update

def dying(self, batch):
    terms = update(self, batch)
    if self.step == die:
        os.kill(os.getpid(), 9)
    return terms

module.Trainer.update = dying
module.main(sys.argv[2:])
"""


def command(out, shards, *more):
    return [
        *("--stage", "student.warp", "--out", str(out), "--data", f"[{shards}]"),
        *("--size", "[64,48]", "--batch_size", "2", "--steps", str(STEPS), "--workers", "0"),
        *("--warmup", "2", "--save_minutes", "0", "--student.width", "8"),
        *("--student.decoder", "[8,8,8,8,8]", "--student.tokens", "1"),
        *("--student.pretrained", "false", "--critic.weight", "0.01", *more),
    ]


def run(arguments, die=-1):
    return subprocess.run(
        [sys.executable, "-c", RUN, str(die), *arguments], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(shards, tmp_path_factory):
    """Folders of a run that was killed after the update of step 6 and resumed, and of one in peace.

    The second run also validates on the way, which must not disturb it.
    """
    folder = tmp_path_factory.mktemp("runs")
    killed = run(command(folder / "resumed", shards), die=6)
    assert killed.returncode == -9, killed.stderr
    assert load_state(folder / "resumed")[1]["step"] == 5
    resumed = run(command(folder / "resumed", shards, "--resume", "true"))
    assert resumed.returncode == 0, resumed.stderr
    assert "going on at step 5" in resumed.stdout
    validated = ("--val", f"[{shards}]", "--val_every", "3")
    whole = run(command(folder / "whole", shards, *validated))
    assert whole.returncode == 0, whole.stderr
    assert "psnr_region" in whole.stdout + whole.stderr
    return folder


def test_killed_run_goes_on_to_exactly_the_same_weights(runs):
    (one, meta), (two, other) = (load_state(runs / name) for name in ("resumed", "whole"))
    assert meta["step"] == other["step"] == STEPS
    assert one.keys() == two.keys()
    assert {k.partition(".")[0] for k in one} == {"model", "ema", "critic", "optim"}
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    emas = [load_file(runs / name / "ema" / "model.safetensors") for name in ("resumed", "whole")]
    assert all(torch.equal(emas[0][name], emas[1][name]) for name in emas[0])


def test_interrupt_of_the_whole_group_saves_the_step_it_is_at(shards, tmp_path):
    """Ctrl-C reaches the workers that load data too; the run saves and ends in peace."""
    arguments = command(tmp_path / "run", shards, "--steps", "100000", "--workers", "1",
                        "--save_minutes", "60", "--val_every", "1000000")  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "-1", *arguments], cwd=ROOT, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        seen = ""
        while "/100000" not in seen or " 0/100000" in seen[-60:]:  # until a step is done
            chunk = process.stderr.read(20)
            assert chunk, seen
            seen += chunk
        os.killpg(process.pid, signal.SIGINT)
        _, rest = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, rest
    assert load_state(tmp_path / "run")[1]["step"] > 0


def test_training_moved_the_weights(runs):
    tensors, _ = load_state(runs / "whole")
    torch.manual_seed(0)
    fresh = Student(TINY).state_dict()
    moved = [name for name in fresh if not torch.equal(tensors[f"model.{name}"], fresh[name])]
    assert len(moved) > 0.5 * len(fresh)
    frozen = [n for n, p in Student(TINY).named_parameters() if not p.requires_grad]
    assert frozen and not set(frozen) & set(moved)


def test_configuration_lies_beside_the_checkpoint(runs):
    text = (runs / "whole" / "train.yaml").read_text()
    assert "batch_size: 2" in text and "width: 8" in text and "lr: 0.0015" in text
    saved = json.loads((runs / "whole" / "ema" / "config.json").read_text())
    assert saved["step"] == STEPS and saved["student"]["decoder"] == [8, 8, 8, 8, 8]
    student = load_student(runs / "whole" / "ema")
    assert not student.training and student.cfg.width == 8


def test_saved_configuration_trains_the_same_again(runs, tmp_path):
    arguments = ["--config", str(runs / "whole" / "train.yaml"), "--out", str(tmp_path / "again")]
    done = run([*arguments, "--val", "[]"])
    assert done.returncode == 0, done.stderr
    one, two = (load_state(f)[0] for f in (runs / "whole", tmp_path / "again"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_used_folder_is_refused_and_left_as_it_is(runs, shards):
    before = (runs / "whole" / "train.yaml").read_bytes()
    done = run(command(runs / "whole", shards, "--lr", "0.5"))
    assert done.returncode != 0
    assert "UsageError" in done.stderr and "pass --resume true or another --out" in done.stderr
    assert (runs / "whole" / "train.yaml").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(runs, shards):
    trainer = Trainer(config(runs / "whole", shards))
    assert trainer.resume()
    trainer.run()
    assert trainer.step == STEPS
    assert load_state(runs / "whole")[1]["step"] == STEPS


def test_size_that_does_not_suit_is_refused_before_anything_is_written(tmp_path, shards):
    cfg = config(tmp_path / "run", shards, size=(100, 75))
    with pytest.raises(UsageError, match="multiples of 16"):
        train(cfg)
    assert not cfg.out.exists()
    check(config(tmp_path / "run", shards), resume=False)


def test_half_a_student_needs_a_teacher_for_the_other_half(tmp_path, shards):
    cfg = config(tmp_path / "run", shards, distil=DistilConfig(half="warp"))
    with pytest.raises(UsageError, match="distil.half is warp; .*--distil.teacher"):
        train(cfg)
    assert not cfg.out.exists()


@pytest.mark.parametrize("half, moving", [("warp", "warper"), ("generator", "generator")])
def test_half_a_student_is_trained_and_the_rest_stays(tmp_path, shards, half, moving):
    lent = Teacher(TeacherConfig(**(asdict(TINY) | {"conditions": 8})))
    save_model(tmp_path, lent, {"teacher": asdict(lent.cfg)})
    distil = DistilConfig(teacher=tmp_path, half=half)
    cfg = config(tmp_path / "run", shards, val=[shards], val_every=2, steps=2, distil=distil)
    trainer = Trainer(cfg)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.run()
    saved = load_file(cfg.out / "ema" / "model.safetensors")
    assert saved.keys() == before.keys(), "the teacher is not saved with the student"
    moved = {k.split(".")[0] for k, v in saved.items() if not torch.equal(v, before[k])}
    assert moving in moved
    assert moved <= ({"generator"} if half == "generator" else {"garment", "person", "warper"})


def test_starts_from_given_weights_or_says_why_not(tmp_path, shards):
    torch.manual_seed(9)
    given = Student(TINY)
    save_model(tmp_path, given, {"student": {}})
    trainer = Trainer(config(tmp_path / "run", shards, init=tmp_path))
    assert all(torch.equal(v, trainer.ema[k]) for k, v in given.state_dict().items())
    wider = replace(TINY, width=16)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        Trainer(config(tmp_path / "run", shards, init=tmp_path, student=wider))
    with pytest.raises(CheckpointError, match="nowhere"):
        Trainer(config(tmp_path / "run", shards, init=tmp_path / "nowhere"))


def test_level_at_twice_the_size_is_added_and_trained_alone(tmp_path, shards):
    """What came from the smaller student stays to the bit, statistics of batch norms included."""
    torch.manual_seed(9)
    given = Student(TINY)
    save_model(tmp_path, given, {"student": {}})
    fine = replace(TINY, fine=4)
    cfg = config(tmp_path / "run", shards, init=tmp_path, student=fine, only="fine", steps=3,
                 size=(128, 96), val=[shards], val_every=2)  # fmt: skip
    trainer = Trainer(cfg)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.run()
    saved = load_file(cfg.out / "ema" / "model.safetensors")
    assert all(torch.equal(saved[k], v) for k, v in given.state_dict().items())
    added = saved.keys() - given.state_dict().keys()
    assert all(k.startswith("generator.fine.") for k in added)
    moved = {k for k in added if not torch.equal(saved[k], before[k])}
    assert moved == added, added - moved
    assert trainer.resume() and trainer.step == 3
    loaded = load_student(cfg.out / "ema")
    assert loaded.cfg.fine == 4


def test_level_at_twice_the_size_needs_one(tmp_path, shards):
    fine = replace(TINY, fine=4)
    for missing in ({}, {"student": fine}, {"init": tmp_path}):
        with pytest.raises(UsageError, match="only is fine.*--init"):
            train(config(tmp_path / "run", shards, only="fine", **missing))
    with pytest.raises(UsageError, match="teacher.fine is 4; expected 0"):
        train(config(tmp_path / "run", shards, network="teacher", teacher=TeacherConfig(fine=4)))
    taught = DistilConfig(teacher=tmp_path)
    with pytest.raises(UsageError, match="expected one or the other"):
        train(config(tmp_path / "run", shards, student=fine, distil=taught, size=(64, 64)))
    with pytest.raises(UsageError, match="multiples of 32"):
        train(config(tmp_path / "run", shards, student=fine))
    assert not (tmp_path / "run").exists()


def test_loss_falls_on_a_batch_seen_again_and_again(tmp_path, shards):
    trainer = Trainer(config(tmp_path, shards, warmup=1, steps=1000, lr=3e-3))
    trainer.model.train()
    batch = random_batch(2, (64, 48))
    losses = [sum(trainer.update(batch).values()) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]


def test_loss_that_is_not_finite_stops_the_run(tmp_path, shards):
    trainer = Trainer(config(tmp_path, shards))
    batch = random_batch(2, (64, 48))
    before = {k: v.clone() for k, v in trainer.model.state_dict().items() if "running" not in k}
    batch.target[0, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.update(batch)
    after = trainer.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items() if "num_batches" not in k)


def test_learning_rate_warms_up_and_falls_to_the_floor(tmp_path, shards):
    cfg = config(tmp_path, shards, warmup=10, steps=110, floor=0.02)
    rates = [learning_rate(cfg, step) for step in range(110)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1)
    assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rates[60] == pytest.approx(0.51)
    assert learning_rate(cfg, 110) == pytest.approx(0.02) == learning_rate(cfg, 10**6)


def test_trunk_learns_more_slowly(tmp_path, shards):
    trainer = Trainer(config(tmp_path, shards, lr=1e-2, trunk_lr=0.25))
    assert trainer.base_rates == [1e-2, 2.5e-3]
    trunk = {id(p) for part in (trainer.model.person, trainer.model.garment)
             for p in part.trunk.parameters() if p.requires_grad}  # fmt: skip
    assert trunk == {id(p) for p in trainer.optimiser.param_groups[1]["params"]}


def test_stages_are_data_for_the_one_configuration(tmp_path, shards):
    for changes in STAGES.values():
        check(config(tmp_path, shards, init=tmp_path, **changes), resume=False)


def test_psnr_counts_the_region_of_try_on_samples_only():
    batch = random_batch(2, (64, 48))
    batch.tryon[1] = 0
    image = batch.target.clone()
    image[0] += 0.1
    image[1] += 0.5
    assert float(region_psnr(image, batch)) == pytest.approx(20, abs=0.01)
    image[0, :, :4] += 5  # outside both garments
    assert float(region_psnr(image, batch)) == pytest.approx(20, abs=0.01)


@torch.no_grad()
def test_picture_grid_has_a_row_a_sample(tmp_path, shards):
    (batch,) = torch.utils.data.DataLoader(
        TryOnDataset([shards], (64, 48), AugmentConfig(), limit=3), batch_size=8
    )
    out, _ = Student(TINY).eval()(batch.person, batch.garment)
    grid = picture_grid(batch, out)
    assert grid.shape == (3, 3 * 64, 6 * 48)
    assert torch.equal(grid[:, :64, :48], batch.person[0])
    assert torch.equal(grid[:, 64:128, 48:96], batch.garment[1])


def test_weights_of_all_terms_can_be_set_in_the_configuration(tmp_path, shards):
    losses = LossWeights(flow=0.0, parsing=0.0)
    trainer = Trainer(config(tmp_path, shards, losses=losses))
    terms = trainer.update(random_batch(2, (64, 48)))
    assert not {"flow", "parsing", "perceptual"} & set(terms) and "image" in terms
