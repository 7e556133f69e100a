"""How far a flat garment reaches once it is worn, by its own proportions.

A photo of a garment has no scale, so that all is said in shares: of its chest, of its torso.
"""

import numpy as np

from pose_synth.garments import Garment
from pose_synth.strips import StripMesh


def is_long(garment: Garment) -> bool:
    """Whether a shop garment has long sleeves."""
    return garment.mesh.sleeve_ratio() > 0.42


def sleeve_reach(mesh: StripMesh) -> float:
    """Share of the arm that a flat garment's sleeves cover once worn, 0 to 1, by span over chest.

    The chest is taken as 48 cm wide, the shoulders as 36 cm apart, the arm as 58 cm long.
    """
    length = mesh.sleeve_length()
    if length == 0:
        return 0.0
    chest = np.linalg.norm(mesh.torso[5, 0] - mesh.torso[5, -1])
    span = np.linalg.norm(mesh.torso[0, 0] - mesh.torso[0, -1]) / 2 + length
    return float(np.clip((48 * span / (chest + 1e-6) - 18) / 58, 0.1, 1.0))


def flat_hem(mesh: StripMesh) -> float:
    """Depth in torso lengths of a flat garment's hem once it is worn, by length over chest."""
    chest = np.linalg.norm(mesh.torso[5, 0] - mesh.torso[5, -1])
    length = np.linalg.norm(mesh.torso[1, 4] - mesh.torso[-1, 4])
    return float(0.95 * length / (chest + 1e-6))


def unlike(mesh: StripMesh, hem: float, sleeve: float | None) -> float:
    """How far a flat garment is from a worn length and, if given, from the arm's covered share."""
    away = abs(flat_hem(mesh) - hem)
    return away if sleeve is None else away + 2 * abs(sleeve_reach(mesh) - sleeve)
