import json

import pytest
import torch
from safetensors.torch import load_file

from app import cli
from dmvton.checkpoint import save_model
from dmvton.errors import CheckpointError, UsageError
from dmvton.mean import HEADS, mean
from dmvton.networks import NETWORKS, load_network
from dmvton.student.config import StudentConfig
from dmvton.teacher.model import TeacherConfig

SIZES = dict(width=8, decoder=(8, 8, 8, 8, 8), tokens=1, pretrained=False)


def checkpoint(folder, seed, kind="student", **changes):
    """A folder with a network of random weights and statistics."""
    config = {"student": StudentConfig, "teacher": TeacherConfig}[kind](**{**SIZES, **changes})
    torch.manual_seed(seed)
    model = NETWORKS[kind].build(config)
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(seed)
        elif name.endswith("running_mean"):
            value.normal_()
    folder.mkdir()
    save_model(folder, model, {kind: vars(config), "step": 10 * seed})
    return folder


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_mean_has_a_share_of_each(tmp_path):
    folders = [checkpoint(tmp_path / str(n), n) for n in (1, 2, 3)]
    mean(folders, tmp_path / "out", shares=[1.0, 1.0, 2.0])
    a, b, c = map(weights, folders)
    for name, value in weights(tmp_path / "out").items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (a[name] + b[name] + 2 * c[name]) / 4)
        else:
            assert value == 3
    assert isinstance(load_network("student", tmp_path / "out"), torch.nn.Module)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["mean"] == {"of": [10, 20, 30], "shares": [1.0, 1.0, 2.0]}


def test_one_checkpoint_is_its_own_mean_to_the_bit(tmp_path):
    folder = checkpoint(tmp_path / "a", 1)
    mean([folder, checkpoint(tmp_path / "b", 2)], tmp_path / "out", shares=[3.0, 0.0])
    found, expected = weights(tmp_path / "out"), weights(folder)
    for name, value in expected.items():
        if value.is_floating_point():
            assert torch.equal(found[name], value), name


def test_heads_are_taken_as_they_are(tmp_path):
    folders = [checkpoint(tmp_path / str(n), n) for n in (1, 2)]
    heads = checkpoint(tmp_path / "heads", 3)
    argv = ["mean", "--checkpoints", f"[{folders[0]},{folders[1]}]", "--out",
            str(tmp_path / "out"), "--heads", str(heads)]  # fmt: skip
    assert cli.main(argv) == 0
    a, b, lent, found = map(weights, (*folders, heads, tmp_path / "out"))
    own = [name for name in found if name.startswith(HEADS)]
    assert {name.split(".")[1] for name in own} == {"mask", "top"}
    assert all(torch.equal(found[name], lent[name]) for name in own)
    name = "generator.out.weight"
    torch.testing.assert_close(found[name], (a[name] + b[name]) / 2)


def test_a_mean_of_teachers(tmp_path):
    folders = [checkpoint(tmp_path / str(n), n, "teacher") for n in (1, 2)]
    mean(folders, tmp_path / "out")
    a, b, found = map(weights, (*folders, tmp_path / "out"))
    name = "generator.out.weight"
    torch.testing.assert_close(found[name], (a[name] + b[name]) / 2)
    with pytest.raises(UsageError, match="a teacher has no heads"):
        mean(folders, tmp_path / "other", heads=folders[0])


@pytest.mark.parametrize("shares", [[1.0], [1.0, -1.0], [0.0, 0.0], [1.0, float("nan")]])
def test_shares_that_do_not_fit(tmp_path, shares):
    folders = [checkpoint(tmp_path / str(n), n) for n in (1, 2)]
    with pytest.raises(UsageError, match="expected 2 numbers"):
        mean(folders, tmp_path / "out", shares)
    with pytest.raises(UsageError, match="expected a list of folders"):
        mean([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_that_do_not_fit_each_other(tmp_path):
    student = checkpoint(tmp_path / "a", 1)
    wide = checkpoint(tmp_path / "wide", 2, decoder=(8, 8, 8, 8, 16))
    with pytest.raises(CheckpointError, match="wide is of another size than .*a; expected"):
        mean([student, wide], tmp_path / "out")
    with pytest.raises(CheckpointError, match="wide is of another size"):
        mean([student], tmp_path / "out", heads=wide)
    with pytest.raises(CheckpointError, match="not a usable checkpoint"):
        mean([student, checkpoint(tmp_path / "t", 3, "teacher")], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="names a network"):
        mean([tmp_path / "empty"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
