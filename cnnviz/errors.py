"""The errors that cnnviz raises; each message names the thing that is wrong and the way out.

CnnvizError
├── ConfigError         an argument or option that cannot be used
├── UnknownNameError    a model, data set or plot that no registry knows (also a LookupError)
├── DataError           data that are absent, damaged or of the wrong shape
├── ModelError          a network that cannot be built, or does not fit its weights or images
├── LayerError          a layer that the network does not have, or that a view cannot show
├── ImageError          an image that cannot be read or does not fit the network
└── RunError            a run that is absent, damaged, locked or of a newer format
    └── StepError       a step at which the run holds no snapshot (also a LookupError)

RecordingWarning is no error: the training goes on, but something could not be recorded.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class CnnvizError(Exception):
    """Any error that a user of cnnviz can mend; shown without a traceback at the command line."""


class ConfigError(CnnvizError, ValueError):
    """An argument or option that cannot be used."""


class UnknownNameError(CnnvizError, LookupError):
    """A name that no registry knows."""


class DataError(CnnvizError):
    """Data that are absent, damaged or of the wrong shape."""


class ModelError(CnnvizError):
    """A network that cannot be built, or does not fit its weights or images."""


class LayerError(CnnvizError, LookupError):
    """A layer that the network does not have, or that a view cannot show."""


class ImageError(CnnvizError, ValueError):
    """An image that cannot be read or does not fit the network."""


class RunError(CnnvizError):
    """A run that is absent, damaged, locked or of a newer format."""


class StepError(RunError, LookupError):
    """A step at which the run holds no snapshot."""

    @classmethod
    def missing(cls, where: str, step: int, steps: Iterable[int]) -> Self:
        """Return the error for a `step` that is not among the rising `steps` of `where`; it names the nearest."""
        known = [int(s) for s in steps]
        after = bisect_left(known, step)
        near = " and ".join(str(s) for s in known[max(0, after - 1) : after + 1])
        found = f"the nearest steps are {near}" if near else "it holds no steps yet"
        return cls(f"{where} has no snapshot at step {step}; {found}")


class RecordingWarning(UserWarning):
    """Something could not be recorded, and the training goes on."""
