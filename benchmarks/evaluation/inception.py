"""Inception features for FID and KID as in papers, where the user has the weights.

No package ships them: torch-fidelity (Apache-2.0) holds the network, and its weights are a file
that it fetches from its releases, `weights-inception-2015-12-05-6726825d.pth`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dmvton.errors import CheckpointError, MissingExtraError

NAMED = "Inception v3 (2015-12-05) of torch-fidelity, 2048 pooled features"
_SHA256 = "6726825d"  # its first digits stand in the file's name


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a picture (H, W, 3) uint8 to its features (2048,) float64.

    Raises:
        MissingExtraError: torch-fidelity is not installed.
        CheckpointError: the file is missing or not that of torch-fidelity.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"--inception needs {error.name}; run: pip install torch-fidelity"
        ) from error
    # The file is a pickle, and torch-fidelity runs what is in it: only the known one is let in.
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()[: len(_SHA256)]
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror}); expected torch-fidelity's "
            "weights-inception-2015-12-05-6726825d.pth"
        ) from error
    if found != _SHA256:
        raise CheckpointError(
            f"{path} has a SHA-256 that begins with {found}, expected {_SHA256}: it is not "
            "torch-fidelity's weights-inception-2015-12-05-6726825d.pth"
        )
    network = FeatureExtractorInceptionV3("inception", ["2048"], str(path))

    @torch.inference_mode()
    def features(image: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        return network(tensor)[0][0].double().numpy()

    return features
