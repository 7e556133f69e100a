"""What street photos lack and users bring: tucked hems, arms in front of the body."""

import numpy as np

from pose_synth.body import Body, PoseSampler, transforms
from pose_synth.patterns import Pattern, to_pattern
from pose_synth.proxies import Proxy

BELOW_WAIST = 10  # pattern pixels by which a tucked top reaches into the trousers
HANDS_BEFORE = 0.05  # metres before the spine from which a wrist counts as in front


def tucked(pattern: Pattern, waist: float) -> Pattern:
    """The pattern with everything from row `waist` on hidden in the trousers.

    The flow of what is still seen does not change: the garment is not shorter, only covered.
    """
    row = max(0, int(waist))
    keep, core = pattern.keep.copy(), pattern.core.copy()
    keep[:, row:] = 0
    core[:, max(0, row - 1) :] = 0
    return pattern._replace(keep=keep, core=core)


def waist_row(lower: Proxy, faces: np.ndarray, figure) -> float:
    """Pattern row to which a top is tucked into a lower garment."""
    points = to_pattern(lower.rest(figure))[faces.ravel()]
    return float(points[:, 1].min() + BELOW_WAIST)


def hands_in_front(sampler: PoseSampler, body: Body) -> np.ndarray:
    """Indices of the poses with a hand before the torso: arms crossed, a phone, a bag's strap."""
    figure = body.figure(np.zeros(len(body.basis)))
    found = []
    which, vertex, weight = body.regressor
    need = np.isin(which, (5, 6, 9, 10, 11, 12))
    used, place = np.unique(vertex[need], return_inverse=True)
    index, share = body.skin_index[used], body.skin_weight[used]
    rest = np.concatenate([figure.vertices[used], np.ones((len(used), 1), np.float32)], 1)
    for number, pose in enumerate(sampler.poses):
        moved = np.einsum("vkij,vj,vk->vi", transforms(pose, figure.heads)[index], rest, share)
        joint, total = np.zeros((17, 3)), np.zeros((17, 1))
        np.add.at(joint, which[need], moved[place] * weight[need][:, None])
        np.add.at(total, which[need], weight[need][:, None])
        joint /= np.maximum(total, 1e-6)
        if _before(joint):
            found.append(number)
    return np.array(found, int)


def _before(joint: np.ndarray) -> bool:
    """Whether a wrist lies before the torso, between its sides and over the hips."""
    low, high = joint[[11, 12], 2].mean(), joint[[5, 6], 2].mean()
    left, right = np.sort(joint[[5, 6], 0])
    depth = joint[[5, 6, 11, 12], 1].mean() - HANDS_BEFORE  # y grows away from the viewer
    inside = [left < x < right and low < z < high and y < depth for x, y, z in joint[[9, 10]]]
    return any(inside)
