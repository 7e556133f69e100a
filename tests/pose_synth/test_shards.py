import json
import tarfile

import pytest
from threadpoolctl import threadpool_info

from dmvton.errors import DataError
from dmvton.shards import ShardReader
from pose_synth.shards import ShardPlan, write
from tests.samples import make_sample


def draw(rng):
    return make_sample(int(rng.integers(1 << 30)))


def contents(folder):
    names = [p.name for p in folder.iterdir()]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write(ShardPlan(folder, 5, seed=3, shard_size=2), draw, {"part": "train"})
    return contents(folder)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3])
def test_interrupted_run_ends_with_the_same_bytes(tmp_path, whole, after):
    drawn = []

    def failing(rng):
        drawn.append(1)
        if len(drawn) > after:
            raise Stopped
        return draw(rng)

    plan = ShardPlan(tmp_path, 5, seed=3, shard_size=2)
    with pytest.raises(Stopped):
        write(plan, failing, {"part": "train"})
    assert len(list(tmp_path.glob("shard-*.tar"))) == after // 2
    assert not (tmp_path / "manifest.json").exists()
    left = tmp_path / ".shard-00001.ab12.part.tar"
    left.write_bytes(b"left over by a kill")
    write(plan, draw, {"part": "train"})
    assert contents(tmp_path) == {**whole, left.name: b"left over by a kill"}


def test_finished_shards_are_not_drawn_again(tmp_path, whole):
    plan = ShardPlan(tmp_path, 5, seed=3, shard_size=2)
    write(plan, draw, {"part": "train"})

    def never(rng):
        raise AssertionError("drawn again")

    write(plan, never, {"part": "train"})
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("damage", ["cut", "short"])
def test_damaged_shards_are_drawn_again(tmp_path, whole, damage):
    plan = ShardPlan(tmp_path, 5, seed=3, shard_size=2)
    write(plan, draw, {"part": "train"})
    path = tmp_path / "shard-00000.tar"
    path.write_bytes(path.read_bytes()[:3000] if damage == "cut" else whole["shard-00002.tar"])
    write(plan, draw, {"part": "train"})
    assert contents(tmp_path) == whole


def test_a_run_can_be_made_longer(tmp_path, whole):
    write(ShardPlan(tmp_path, 3, seed=3, shard_size=2), draw, {"part": "train"})
    write(ShardPlan(tmp_path, 5, seed=3, shard_size=2), draw, {"part": "train"})
    assert contents(tmp_path) == whole


def test_another_seed_gives_other_bytes_and_its_own_folder(tmp_path, whole):
    write(ShardPlan(tmp_path, 2, seed=4, shard_size=2), draw, {})
    assert (tmp_path / "shard-00000.tar").read_bytes() != whole["shard-00000.tar"]
    with pytest.raises(DataError, match="'seed': 4.*'seed': 3"):
        write(ShardPlan(tmp_path, 2, seed=3, shard_size=2), draw, {})


def test_manifest_says_what_lies_there(tmp_path):
    path = write(ShardPlan(tmp_path, 5, seed=3, shard_size=2), draw, {"recipe": {"a": 1}})
    manifest = json.loads(path.read_text())
    assert manifest["seed"] == 3 and manifest["samples"] == 5 and manifest["recipe"] == {"a": 1}
    assert [s["samples"] for s in manifest["shards"]] == [2, 2, 1]
    assert len({s["sha256"] for s in manifest["shards"]}) == 3
    assert all((tmp_path / s["file"]).exists() for s in manifest["shards"])


def test_other_names_are_no_shards(tmp_path):
    write(ShardPlan(tmp_path, 2), draw, {})
    for name in (".shard-00001.ab12.part.tar", "shard-00002.tar.gz", "notes.tar", "shard.tar"):
        (tmp_path / name).write_bytes(b"not a shard")
    assert len(ShardReader(tmp_path)) == 2


def test_members_have_plain_names_and_no_trace_of_the_machine(tmp_path):
    write(ShardPlan(tmp_path, 2), draw, {})
    with tarfile.open(tmp_path / "shard-00000.tar") as tar:
        members = list(tar)
    assert {m.name.split(".")[0] for m in members} == {"00000000", "00000001"}
    assert all(m.mtime == 0 and m.uid == 0 and not m.uname for m in members)


def test_a_sample_is_drawn_on_one_thread(tmp_path):
    """BLAS threads of several processes would wait for each other."""
    seen = []

    def watching(rng):
        seen.extend(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")
        return draw(rng)

    write(ShardPlan(tmp_path, 1), watching, {})
    assert seen and set(seen) == {1}
