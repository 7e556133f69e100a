from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader

from dmvton.dataset import TryOnDataset, ViewSampler
from dmvton.errors import DataError
from tests.samples import write_shards

SIZE = (64, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), "CDKN")


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_index_and_view_decide_the_sample(folder):
    data = TryOnDataset([folder], SIZE)
    first, others = data[1, 7], [data[1, 8], data[0, 7]]
    assert same(data[1, 7], first)
    assert same(TryOnDataset([folder], SIZE)[1, 7], first)
    assert not any(same(other, first) for other in others)
    assert not same(TryOnDataset([folder], SIZE, seed=1)[1, 7], first)
    assert same(data[1], data[1, 0])


def test_workers_give_the_same_batches(folder):
    data = TryOnDataset([folder], SIZE)
    views = [[(0, 0), (1, 0)], [(2, 5), (3, 1)]]
    alone, workers = (list(DataLoader(data, batch_sampler=views, num_workers=n)) for n in (0, 1))
    assert len(alone) == 2 and all(same(a, b) for a, b in zip(alone, workers, strict=True))


def test_shapes_and_types_of_a_batch(folder):
    (batch,) = DataLoader(TryOnDataset([folder], SIZE), batch_size=4)
    planes = dict(
        person=3, garment=3, target=3, garment_mask=1, person_mask=1, target_mask=1, flow=2
    )
    for name, channels in planes.items():
        value = getattr(batch, name)
        assert value.shape == (4, channels, *SIZE) and value.dtype == torch.float32
    assert batch.parsing.shape == (4, 16, 12) and batch.parsing.dtype == torch.int64
    assert batch.keypoints.shape == (4, 13, 3)
    assert batch.presence.shape == (4, 1)
    assert batch.tryon.flatten().tolist() == [1, 1, 0, 0]


def test_products_can_be_left_out(tmp_path):
    kinds = ["C", "C-real", "D", "K"]
    data = TryOnDataset([write_shards(tmp_path, kinds)], SIZE, without=["C"])
    assert [reader.kind(i) for reader, i in data.items] == ["D", "K"]
    assert data[0].tryon.item() == 1 and data[1].tryon.item() == 0


def test_folders_follow_one_another_and_can_be_limited(folder, tmp_path):
    other = write_shards(tmp_path, "NN")
    data = TryOnDataset([folder, other], SIZE)
    assert len(data) == 6
    assert [data[i].tryon.item() for i in range(6)] == [1, 1, 0, 0, 0, 0]
    assert len(TryOnDataset([folder, other], SIZE, limit=1)) == 2


def test_low_resolution_reads_reduced_pictures(folder):
    assert TryOnDataset([folder], (128, 96)).items[0][0].reduce == 2
    assert TryOnDataset([folder], (256, 192)).items[0][0].reduce == 1


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        TryOnDataset([tmp_path / "nowhere"], SIZE)


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 11])
def test_sampler_goes_on_in_the_middle_of_an_epoch(start):
    whole = list(islice(ViewSampler(7, 2, seed=5), 16))
    rest = list(islice(ViewSampler(7, 2, seed=5, start_step=start), 16 - start))
    assert rest == whole[start:]


def test_sampler_shows_every_sample_at_most_once_an_epoch():
    batches = list(islice(ViewSampler(7, 2, seed=0), 9))  # three batches an epoch, one sample left
    for epoch in range(3):
        pairs = sum(batches[3 * epoch : 3 * epoch + 3], [])
        assert {view for _, view in pairs} == {epoch}
        indices = [index for index, _ in pairs]
        assert len(set(indices)) == 6 and set(indices) <= set(range(7))
    orders = {tuple(index for index, _ in sum(batches[3 * e : 3 * e + 3], [])) for e in range(3)}
    assert len(orders) == 3
    assert list(islice(ViewSampler(7, 2, seed=1), 9)) != batches


def test_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="lower batch_size"):
        ViewSampler(3, 4, seed=0)
