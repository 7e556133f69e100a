import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from dmvton.checkpoint import load_model, load_state, save_model, save_state
from dmvton.errors import CheckpointError

ROOT = Path(__file__).parents[2]
PACKAGES = ("dmvton", "pose_synth", "export", "app", "benchmarks")
PICKLERS = ("pickle", "cloudpickle", "dill", "joblib", "shelve")


@dataclass(frozen=True)
class Config:
    width: int = 3
    folder: Path = Path("somewhere")


def network(value=1.0, width=3):
    model = nn.Linear(width, 2)
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    return model


def build(config):
    return network(0.0, config["width"])


def test_round_trip_with_configuration(tmp_path):
    save_model(tmp_path, network(), Config())
    model = load_model(tmp_path, build)
    assert torch.equal(model.weight, torch.ones(2, 3))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "cut", "garbage"])
def test_damaged_files_are_refused_with_their_folder(tmp_path, name, damage):
    save_model(tmp_path, network(), Config())
    path = tmp_path / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if damage == "cut" else b"\xff\x00" * 50)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_model(tmp_path, build)


def test_loading_is_strict(tmp_path):
    save_model(tmp_path, network(), Config())
    with pytest.raises(CheckpointError, match=str(tmp_path)):  # other sizes
        load_model(tmp_path, lambda config: network(width=4))
    with pytest.raises(CheckpointError, match=str(tmp_path)):  # a tensor too many in the file
        load_model(tmp_path, lambda config: nn.Linear(3, 2, bias=False))
    with pytest.raises(CheckpointError, match=str(tmp_path)):  # one too few
        load_model(tmp_path, lambda config: nn.Sequential(network()))


def test_configuration_of_another_network_is_refused(tmp_path):
    save_model(tmp_path, network(), {"depth": 3})
    with pytest.raises(CheckpointError, match="width"):
        load_model(tmp_path, build)


def test_state_round_trip_keeps_types_and_the_two_newest(tmp_path):
    assert load_state(tmp_path) is None
    for step in (5, 10, 100):
        tensors = {"a": torch.full((2,), float(step)), "n": torch.tensor(step)}
        save_state(tmp_path, step, tensors, {"seconds": 1.5})
    tensors, meta = load_state(tmp_path)
    assert meta == {"step": 100, "seconds": 1.5}
    assert torch.equal(tensors["a"], torch.full((2,), 100.0))
    assert tensors["n"].dtype == torch.int64 and tensors["n"].ndim == 0
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["state-00000010", "state-00000100"]


@pytest.mark.parametrize("name", ["meta.json", "state.safetensors"])
def test_damaged_state_is_refused_with_the_way_out(tmp_path, name):
    for step in (1, 2):
        save_state(tmp_path, step, {"a": torch.ones(9)}, {})
    path = tmp_path / "state-00000002" / name
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(CheckpointError, match="state-00000002 is damaged.*remove it"):
        load_state(tmp_path)
    (tmp_path / "state-00000002").rename(tmp_path / "away")
    assert load_state(tmp_path)[1]["step"] == 1


KILLED = """
import os, sys, torch
from pathlib import Path
from torch import nn
import dmvton.checkpoint as checkpoint

def kill(*_):
    os.kill(os.getpid(), 9)

checkpoint.os.replace = kill
what, folder = sys.argv[1], Path(sys.argv[2])
if what == "model":
    checkpoint.save_model(folder, nn.Linear(3, 2), {"width": 3})
else:
    checkpoint.save_state(folder, 2, {"a": torch.zeros(1)}, {})
"""


@pytest.mark.parametrize("what", ["model", "state"])
def test_kill_before_the_rename_leaves_the_old_one(tmp_path, what):
    save_model(tmp_path, network(), Config())
    save_state(tmp_path, 1, {"a": torch.ones(1)}, {})
    command = [sys.executable, "-c", KILLED, what, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -9
    assert list(tmp_path.glob("*.part*")), "nothing was written before the kill"
    assert torch.equal(load_model(tmp_path, build).weight, torch.ones(2, 3))
    tensors, meta = load_state(tmp_path)
    assert meta["step"] == 1 and torch.equal(tensors["a"], torch.ones(1))
    save_model(tmp_path, network(2.0), Config())  # what is left over is no hindrance
    save_state(tmp_path, 2, {"a": torch.zeros(1)}, {})
    assert load_model(tmp_path, build).weight[0, 0] == 2
    assert load_state(tmp_path)[1]["step"] == 2


def unpickling(path):
    """Names in a module that load or write pickles."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            yield from (n for n in names if n.split(".")[0] in PICKLERS)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in ("torch.load", "torch.save", "pickle.load"):
                yield name
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if getattr(node.value, "value", None) is not False:
                yield "allow_pickle"


def test_nothing_is_ever_unpickled(tmp_path):
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(paths) > 40
    assert not [(path, name) for path in paths for name in unpickling(path)]
    bad = tmp_path / "bad.py"
    bad.write_text("import pickle\ntorch.load(f)\nnp.load(f, allow_pickle=True)\n")
    assert sorted(unpickling(bad)) == ["allow_pickle", "pickle", "torch.load"]
