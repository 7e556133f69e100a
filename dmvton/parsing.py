"""The parsing classes of the project."""

from enum import IntEnum


class Parsing(IntEnum):
    """Merged human parsing; skin is one class because the sources do not split it."""

    BACKGROUND = 0
    SKIN = 1
    HAIR = 2
    UPPER = 3
    OUTER = 4
    DRESS = 5
    LOWER = 6
    SHOES = 7
    BAG = 8
    ACCESSORY = 9
    HEADWEAR = 10
