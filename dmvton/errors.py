"""Errors for callers: each says what was got, what was expected, and the way out.

All derive from ``DmvtonError`` (a ``ValueError``); the command line prints the message as one
line and exits with status 2.
"""


class DmvtonError(ValueError):
    """Base of every error that a caller can act on."""


class ImageError(DmvtonError):
    """The bytes, file or array given is not a picture that can be used."""


class NoPersonError(DmvtonError):
    """No person with a visible torso was found in the picture."""


class GarmentError(DmvtonError):
    """The garment photo shows no garment (blank, or next to nothing of it), or no top."""


class CheckpointError(DmvtonError):
    """The network files are missing, damaged, or do not fit this version."""


class OutputError(DmvtonError):
    """The result cannot be written where it was asked for."""


class UsageError(DmvtonError):
    """An option or argument has a value that is not allowed."""


class MissingExtraError(DmvtonError):
    """The command needs packages that the base install leaves out."""


class DataError(DmvtonError):
    """Training or evaluation data is missing or broken."""


class DeviceError(DmvtonError):
    """There is no GPU that can do this, or it failed."""
