"""The 2023 student in our training loop."""

import pytest

torch = pytest.importorskip("torch")

from benchmarks.train2023 import Train2023Config, look  # noqa: E402
from dmvton.checkpoint import load_model  # noqa: E402
from dmvton.train import Trainer, main, train  # noqa: E402
from tests.batches import random_batch  # noqa: E402
from tests.benchmarks.test_dmvton2023 import TINY, tiny  # noqa: E402
from tests.samples import write_shards  # noqa: E402


def config(tmp_path, **changes):
    return Train2023Config(**{
        "out": tmp_path / "run", "data": [write_shards(tmp_path / "shards", "CDCD")],
        "size": (64, 32), "batch_size": 2, "steps": 3, "workers": 0, "warmup": 1,
        "student2023": TINY, **changes,
    })  # fmt: skip


def test_it_learns_what_it_has_outputs_for(tmp_path):
    trainer = Trainer(config(tmp_path, lr=3e-3))
    trainer.model.train()
    batch = random_batch(2, (64, 32))
    terms = [trainer.update(batch) for _ in range(12)]
    assert set(terms[0]) == {
        "flow", "shape", "smooth", "image", "region", "detail", "warped", "alpha"
    }  # fmt: skip
    assert sum(terms[-1].values()) < 0.9 * sum(terms[0].values())


def test_a_run_ends_with_a_checkpoint_that_eval_reads(tmp_path):
    cfg = config(tmp_path)
    train(cfg)
    model = load_model(cfg.out / "ema", lambda config: tiny()).eval()
    batch = random_batch(1, (64, 32))
    with torch.inference_mode():
        out, _ = look(model, batch)
    assert torch.equal(out.image, model(batch.person, batch.garment, batch.garment_mask).image)


def test_options_are_those_of_dmvton_train(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--help"], config=Train2023Config)
    text = capsys.readouterr().out
    assert "--student2023.cost_volume" in text and "--losses.flow" in text


def test_flows_stay_fine_under_autocast():
    batch = random_batch(1, (64, 96))
    with torch.autocast("cpu", torch.bfloat16):
        out = tiny()(batch.person, batch.garment, batch.garment_mask)
    assert {flow.dtype for flow in out.flows} == {torch.float32}
