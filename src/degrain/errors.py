"""The errors degrain raises on purpose.

Each message is one sentence or two that say what is wrong, why, and what to do. The command
prints the message and nothing else; a traceback is reserved for a defect of degrain itself.
"""

from __future__ import annotations


class DegrainError(Exception):
    """Anything a user can cause and a user can mend."""


class UsageError(DegrainError):
    """The request itself makes no sense (unknown model, strength 1.5): exit code 2."""


class MissingPackageError(UsageError):
    """An optional package is not installed: exit code 2, unless there is a way without it."""


class PictureError(DegrainError):
    """A picture cannot be read, processed or written: exit code 1, other files go on."""


class ModelError(DegrainError):
    """A model file or card is missing, damaged or no denoiser: exit code 2."""


class TrainingError(DegrainError):
    """Training cannot start or go on (too few pictures, loss became NaN): exit code 1."""


def reason_of(error: OSError) -> str:
    """Why the system refused, in lower case, without numbers and paths."""
    return (error.strerror or str(error)).lower()
