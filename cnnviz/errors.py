"""The errors that cnnviz raises; each message names the thing that is wrong and the way out.

CnnvizError
├── ConfigError         an argument or option that cannot be used
├── UnknownNameError    a model, data set or plot that no registry knows (also a LookupError)
├── DataError           data that are absent, damaged or of the wrong shape
├── ModelError          a network that cannot be built, or does not fit its weights or images
├── LayerError          a layer that the network does not have, or that a view cannot show
├── ImageError          an image that cannot be read or does not fit the network
└── RunError            a run that is absent, damaged, locked or of a newer format
    ├── SnapshotError   snapshots that cannot be read, where others of the run can
    └── StepError       a step at which the run holds no snapshot (also a LookupError)

Two warnings are no errors: RecordingWarning, where the training goes on, but something could not be recorded; and
DamageWarning, where something is shown without the snapshots that can't be read.
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


class SnapshotError(RunError):
    """Snapshots that cannot be read, where others of the run can.

    Attributes:
        steps: Their steps, rising.
    """

    def __init__(self, message: str, steps: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.steps = tuple(sorted(steps))


class StepError(RunError, LookupError):
    """A step at which the run holds no snapshot."""

    @classmethod
    def missing(cls, where: str, step: int, steps: Iterable[int]) -> Self:
        """Return the error for a `step` that is not among the rising `steps` of `where`; it names the nearest."""
        known = [int(s) for s in steps]
        after = bisect_left(known, step)
        near = [str(s) for s in known[max(0, after - 1) : after + 1]]
        found = {0: "it holds no steps yet", 1: "the nearest is {}", 2: "the nearest are {} and {}"}[
            len(near)
        ]
        return cls(f"{where} has no snapshot at step {step}; {found.format(*near)}")


class DamageWarning(UserWarning):
    """Something is shown without the snapshots of the run that can't be read."""


class RecordingWarning(UserWarning):
    """Something could not be recorded, and the training goes on."""
