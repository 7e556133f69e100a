"""One engine behind every door: frames and photos in, dressed ones out, and no word of networks."""

from app.engine.engine import Dressed, Engine, Framed, Seen
from app.engine.limits import LIMITS, EngineLimits

__all__ = ["LIMITS", "Dressed", "Engine", "EngineLimits", "Framed", "Seen"]
