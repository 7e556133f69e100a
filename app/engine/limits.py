"""What clients of the engine may cost."""

from dataclasses import dataclass

from dmvton.image_io import Limits

_MEBI = 2**20


@dataclass(frozen=True)
class EngineLimits:
    """Bounds on number, size and time; together they bound the memory.

    Worst case a stream: one frame waiting and one being received (``frame.max_bytes`` each), two
    frames in work and the last picture (``3 * frame_side ** 2`` bytes each, five with copies):
    8 + 25 MB. Worst case a garment: the photo and its smaller levels (``6 * garment_side ** 2``
    bytes) and 1.7 MB of features: 12 MB.
    """

    streams: int = 16
    """Most streams at a time."""
    age_s: float = 0.3
    """While frames are older than this when they are done, no further stream is let in: those who
    are here keep their speed."""
    pause_s: float = 1.0
    """Beyond one stream a worker, at most one is let in within so many seconds: time to see what
    it costs the others."""
    idle_s: float = 600.0
    """A stream in which nothing happened for so many seconds is forgotten."""
    frame: Limits = Limits(max_bytes=4 * _MEBI, max_pixels=9_000_000)
    """Frames beyond this are refused."""
    frame_side: int = 1280
    """Larger frames are shrunk to this."""
    photo: Limits = Limits(max_bytes=16 * _MEBI, max_pixels=25_000_000)
    """Photos of persons and garments beyond this are refused."""
    garment_side: int = 1280
    """Larger garment photos are shrunk to this."""
    garments: int = 64
    """Most garments kept; the one that was not used for longest goes first."""
    photos_waiting: int = 16
    """Most photos that wait for a worker; further ones are refused."""
    wait_s: float = 10.0
    """A photo that waited longer than this is refused: whoever sent it has given up."""


LIMITS = EngineLimits()
