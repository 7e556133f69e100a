import cv2
import numpy as np
import pytest
from scipy.linalg import sqrtm

from benchmarks.evaluation import metrics
from benchmarks.evaluation.statistics import bootstrap, jackknife
from benchmarks.evaluation.unpaired import distances
from tests.samples import POINTS, pattern


def pictures():
    rng = np.random.default_rng(0)
    one = pattern((48, 64), 20)
    other = np.clip(one + rng.normal(0, 15, one.shape), 0, 255).astype(np.uint8)
    return one, other


def test_psnr_of_a_known_error():
    black = np.zeros((8, 8, 3), np.uint8)
    grey = np.full_like(black, 10)
    assert metrics.psnr(black, grey) == pytest.approx(20 * np.log10(25.5))
    half = np.zeros((8, 8), bool)
    half[:4] = True
    grey[:4] = 0
    assert metrics.psnr(black, grey, half) == metrics.PSNR_CAP
    assert metrics.psnr(black, grey, ~half) == pytest.approx(20 * np.log10(25.5))


def with_moments(mean, cov, n, rng):
    """n points whose sample mean and covariance are exactly these."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return white @ np.linalg.cholesky(cov).T + mean


def test_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(1)
    mean_a, mean_b = np.zeros(4), np.array([1.0, -2.0, 0.5, 0])
    m = rng.normal(size=(4, 4))
    cov_a, cov_b = m @ m.T + np.eye(4), np.diag([1.0, 2, 3, 4])
    a, b = with_moments(mean_a, cov_a, 50, rng), with_moments(mean_b, cov_b, 60, rng)
    truth = 5.25 + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert metrics.frechet(a, b) == pytest.approx(truth, rel=1e-6)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_agrees_with_a_loop_and_is_unbiased():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(12, 3)), rng.normal(0.5, 1, (9, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    aa = np.mean([kernel(a[i], a[j]) for i in range(12) for j in range(12) if i != j])
    bb = np.mean([kernel(b[i], b[j]) for i in range(9) for j in range(9) if i != j])
    ab = np.mean([kernel(x, y) for x in a for y in b])
    assert metrics.kernel_distance(a, b) == pytest.approx(aa + bb - 2 * ab)
    same = [metrics.kernel_distance(*rng.normal(size=(2, 20, 3))) for _ in range(400)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 20


def test_distances_do_not_punish_a_contender_for_two_like_results_of_a_person():
    rng = np.random.default_rng(7)
    people = [str(k) for k in range(60)]
    same, apart = [], []
    for _ in range(40):
        real = rng.normal(size=(90, 20))
        one = rng.normal(size=(60, 20))
        same.append(distances(np.repeat(one, 2, 0), real, people, 8)["kid"].value)
        apart.append(distances(rng.normal(size=(120, 20)), real, people, 8)["kid"].value)
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40)
    assert abs(np.mean(apart)) < 3 * np.std(apart) / np.sqrt(40)
    doubled = np.repeat(one, 2, 0)  # in one set, it would be far from nought
    assert metrics.kernel_distance(doubled, real) > 10 * abs(np.mean(same))


def test_distances_grow_with_what_is_wrong_and_leave_fid_out_for_few():
    rng = np.random.default_rng(8)
    people, real = [str(k) for k in range(70)], rng.normal(size=(90, 20))
    made = rng.normal(size=(140, 20))
    near, far = (distances(made + shift, real, people, 8) for shift in (0.2, 0.6))
    for name in ("kid", "fid"):
        assert near[name].value < far[name].value and near[name].n == 70
        assert near[name].low < near[name].value < near[name].high
    raw = distances(made, real, people)  # no components: as it is in papers
    assert raw["fid"].value == pytest.approx(
        np.mean([metrics.frechet(made[k::2], real) for k in (0, 1)])
    )
    assert "fid" not in distances(made[:40], real, people[:20], 8)


def test_keypoint_similarity_by_hand():
    points = np.c_[POINTS, np.ones(13)]
    assert metrics.keypoint_similarity(points, points, 1e4) == 1
    moved = points.copy()
    moved[0, 0] += 3
    part = np.exp(-9 / (2 * (2 * 0.026) ** 2 * 1e4))
    assert metrics.keypoint_similarity(moved, points, 1e4) == pytest.approx((12 + part) / 13)
    points[0, 2] = 0  # the nose is not seen
    assert metrics.keypoint_similarity(moved, points, 1e4) == 1
    assert np.isnan(metrics.keypoint_similarity(moved, points * [1, 1, 0], 1e4))


def dressed():
    """An input with a coloured pattern, and both perfect results, in two plain garments."""
    person = pattern((96, 96), 9)
    fold = (0.85 + 0.15 * np.sin(np.arange(96) / 7))[:, None, None]
    results = [np.rint(np.array(c) * fold * np.ones((96, 96, 1))).astype(np.uint8)
               for c in ((200, 40, 40), (40, 60, 180))]  # fmt: skip
    return person, results, float(np.linalg.norm(np.subtract((200, 40, 40), (40, 60, 180))))


def test_leakage_is_one_for_the_noop_and_nought_for_a_perfect_result():
    person, (red, blue), contrast = dressed()
    assert metrics.leakage(person, person, person, contrast).mean() == 1
    # Folds darken the garments, and with them the contrast, by 15% on average.
    assert metrics.leakage(red, blue, person, contrast).mean() < 0.05


def test_leakage_grows_with_what_shines_through_and_skin_is_none():
    person, results, contrast = dressed()
    found = []
    for share in (0.0, 0.5, 0.8, 1.0):
        mixed = [(1 - share) * r + share * person for r in results]
        found.append(metrics.leakage(*mixed, person, contrast).mean())
    assert found == sorted(found) and found[2] > found[0] + 0.2
    black, skin = np.zeros_like(person), np.full_like(person, (205, 160, 140))
    assert metrics.leakage(skin, skin, black, contrast).max() == 0


def test_ghost_is_the_share_of_the_old_pattern():
    person, results, _ = dressed()
    where = np.zeros((96, 96), bool)
    where[10:-10, 10:-10] = True
    assert metrics.ghost(person, person, person, where) == pytest.approx(1)
    assert abs(metrics.ghost(*results, person, where)) < 0.03
    mixed = [0.7 * r + 0.3 * person for r in results]
    assert metrics.ghost(*mixed, person, where) == pytest.approx(0.3, abs=0.03)
    plain = np.full_like(person, 90)
    assert np.isnan(metrics.ghost(plain, plain, plain, where))


def test_shine_is_the_share_of_the_input_whatever_else_is_wrong():
    person, target = pattern((96, 96), 9), pattern((96, 96), 14, 2.0)
    where = np.zeros((96, 96), bool)
    where[10:-10, 10:-10] = True

    def share(result):
        return metrics.shine(result, person, target, where)

    assert share(person) == pytest.approx(1) and share(target) == pytest.approx(0)
    mixed = 0.3 * person + 0.7 * target
    assert share(mixed) == pytest.approx(0.3)
    blurred = cv2.GaussianBlur(mixed, (0, 0), 3) - 0.3 * cv2.GaussianBlur(person, (0, 0), 3)
    assert abs(share(blurred)) < 0.1  # blur of the truth is no trace of the input
    noise = np.random.default_rng(9).normal(0, 30, mixed.shape)
    assert share(mixed + 20 + noise) == pytest.approx(0.3, abs=0.03)
    flat = np.full_like(person, 90)
    assert np.isnan(metrics.shine(target, flat, target, where))
    assert np.isnan(metrics.shine(target, target, target, where))


def test_colour_distance_of_a_known_shift():
    rng = np.random.default_rng(3)
    grey = np.repeat(rng.integers(60, 120, (500, 1)), 3, 1).astype(np.uint8)
    assert metrics.colour_distance(grey, grey[::-1]) == pytest.approx(0, abs=1e-6)
    lighter = cv2.add(grey, (20, 20, 20, 0))
    near, far = metrics.colour_distance(grey, lighter), metrics.colour_distance(grey, 255 - grey)
    assert 2 < near < far


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(4)
    people = np.repeat(np.arange(40).astype(str), 3)
    hits = 0
    for _ in range(300):
        values = np.repeat(rng.normal(2, 1, 40), 3) + rng.normal(0, 0.3, 120)
        figure = bootstrap(values, people, 400)
        hits += figure.low <= 2 <= figure.high
    assert 0.90 <= hits / 300 <= 0.985


def test_bootstrap_by_persons_is_wider_than_by_samples_and_skips_nan():
    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(0, 1, 30), 10)
    people = np.repeat(np.arange(30).astype(str), 10)
    together = bootstrap(values, people)
    apart = bootstrap(values, np.arange(300).astype(str))
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert (together.n, together.groups) == (300, 30)
    some = bootstrap([1.0, float("nan"), 3.0], ["a", "a", "b"])
    assert (some.value, some.n, some.groups) == (2.0, 2, 2)
    with pytest.raises(ValueError, match="no value"):
        bootstrap([float("nan")], ["a"])


def test_jackknife_of_a_mean_is_its_standard_error():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 1))
    figure = jackknife(x, np.arange(200).astype(str), lambda v: float(v.mean()))
    assert figure.value == pytest.approx(float(x.mean()))
    assert (figure.high - figure.value) / 1.96 == pytest.approx(1 / np.sqrt(200), rel=0.45)
