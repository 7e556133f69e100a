import numpy as np
import pytest

from pose_synth.body import COCO, Body, PoseSampler, skin, transforms

torch = pytest.importorskip("torch")


def blazepose(points):
    """BlazePose's photo and world points of COCO keypoints (17, 3) in metres."""
    xy, world = np.zeros((33, 2)), np.zeros((33, 3))
    xy[list(COCO)] = 400 + 300 * points[:, [0, 2]] * (1, -1)
    world[list(COCO)] = points[:, [0, 2, 1]] * (1, -1, 1)
    return xy, world


def test_fit_finds_a_known_pose():
    from pose_synth.bodyfit import fit, observed

    torch.set_num_threads(1)
    body, sampler = Body(), PoseSampler()
    figure = body.figure(np.zeros(len(body.basis)))
    seen = []
    for pose in sampler.poses[[3, 40, 200]]:
        matrices = transforms(pose, figure.heads)
        posed = skin(figure.vertices, body.skin_index, body.skin_weight, matrices)
        seen.append(blazepose(body.keypoints(posed)))
    xy, world = (np.stack(a) for a in zip(*seen, strict=True))
    found = fit(body, observed(xy, np.ones((3, 33)), world))
    assert found.error.max() < 0.01
