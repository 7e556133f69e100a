"""How the application is spread over a cluster."""

from dataclasses import dataclass

from dmvton.errors import UsageError


@dataclass(frozen=True)
class ScaleConfig:
    """Set by ``serve run app.scale.application:build name=value ...``."""

    weights: str = ""
    """Folder of the network, on every machine; the packaged one by default."""
    least: int = 1
    """Fewest replicas."""
    most: int = 8
    """Most replicas; set both to one number for a fixed count."""
    cores: float = 1.0
    """That Ray sets aside for a replica, which works on one photo at a time."""
    target: float = 2.0
    """Requests a replica should have, at work and waiting; more call for a further replica."""
    ongoing: int = 4
    """Most requests that a replica holds at a time."""
    queued: int = 32
    """Most requests that wait for a replica at each entrance; further ones are told 503."""
    entrances: int = 1
    """Replicas of the entrance, which reads and answers HTTP."""
    batch: int = 4
    """Most photos that a replica takes up together."""
    batch_wait_s: float = 0.005
    """Seconds for which a photo may wait for company."""
    garments: int = 64
    """Most garments whose features a replica keeps."""
    photos: int = 512
    """Most garment photos kept in the cluster, from which any replica can make the features."""
    photo_bytes: int = 512 * 2**20
    """Most bytes of these."""

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise UsageError(f"got least={self.least} most={self.most}; use 1 <= least <= most")
        for name in ("cores", "target", "ongoing", "queued", "entrances", "batch", "garments"):
            if not getattr(self, name) > 0:
                raise UsageError(f"got {name}={getattr(self, name)}; use more than 0")


def config_of(options: dict[str, str]) -> ScaleConfig:
    """The configuration of ``name=value`` words.

    Raises:
        UsageError: there is no such name, or the value does not fit.
    """
    known = {name: type(value) for name, value in vars(ScaleConfig()).items()}
    values = {}
    for name, value in options.items():
        if name not in known:
            raise UsageError(f"unknown option {name!r:.40}; expected {', '.join(known)}")
        try:
            values[name] = known[name](value)
        except ValueError as error:
            raise UsageError(
                f"got {name}={value!r:.40}; expected {known[name].__name__}"
            ) from error
    return ScaleConfig(**values)
