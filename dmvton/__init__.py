"""Virtual try-on: put a garment photo on a person photo, in real time on a CPU.

    from dmvton import TryOn

    tryon = TryOn.load()
    garment = tryon.garment(garment_rgb)
    result = tryon(person_rgb, garment)

Names are resolved on first use, so that ``import dmvton`` costs nothing and the training
modules can import their siblings without the runtime.
"""

import os
from typing import TYPE_CHECKING, Any

# Recent builds of ONNX Runtime send usage data home; it reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from dmvton.tryon import Garment, Stream, TryOn, TryOnResult

__version__ = "0.1.0"
__all__ = ["Garment", "Stream", "TryOn", "TryOnResult", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the public classes of ``dmvton.tryon`` when they are first asked for."""
    if name in ("Garment", "Stream", "TryOn", "TryOnResult"):
        from dmvton import tryon

        return getattr(tryon, name)
    raise AttributeError(f"module 'dmvton' has no attribute {name!r}")
