"""One training of a framework: a recorder that begins when the training does, and ends with it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypedDict

from cnnviz.errors import ConfigError
from cnnviz.integrations.scalars import scalars
from cnnviz.recording.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from torch import Tensor, nn

    from cnnviz.recording.manifest import Description
    from cnnviz.recording.schedule import Schedule


class Options(TypedDict, total=False):
    """What every integration hands on to `Recorder`, whose defaults hold for what is left out.

    Attributes:
        snapshots: Says at which steps to take a snapshot.
        samples: Validation images (n, c, h, w), uint8 or as the network sees them, and labels (n,).
        description: What else to remember of the run.
        steps_per_epoch: How many steps an epoch has, for schedules that count epochs; mostly the framework knows.
        durable: Whether to force every snapshot to the disk, against a loss of power.
        resume: Go on with the run at the path, as when the framework goes on from its checkpoint.
        background: Whether to write in a thread of its own.
    """

    snapshots: Schedule
    samples: tuple[Tensor, Tensor] | None
    description: Description | None
    steps_per_epoch: int | None
    durable: bool
    resume: bool
    background: bool | None


class Session:
    """Calls a recorder, and leaves calls alone that come before the training or after it."""

    def __init__(self, path: str | PathLike[str], module: str | None, options: Options) -> None:
        """Prepare to record at `path`; nothing is written before `begin`.

        Raises:
            TypeError: If `Recorder` knows no such option.
        """
        inspect.signature(Recorder).bind(path, None, **options)  # now, not when hours of set-up are done
        self._path = path
        self._module = module
        self._options = options
        self._recorder: Recorder | None = None
        self._step = -1

    @property
    def step(self) -> int:
        """The last recorded step; -1 before the first."""
        return self._step

    def begin(self, model: nn.Module, step: int, *, steps_per_epoch: int | None = None) -> None:
        """Open the run and record `step`, the state before the first update.

        Where the framework begins anew without an end, as when it looks for a batch size that fits, the run goes on
        as long as no step falls.

        Args:
            model: What the framework trains; of it the submodule that was asked for is recorded.
            step: The number of updates so far.
            steps_per_epoch: How many updates an epoch has, where that is known.

        Raises:
            ConfigError: If the model has no such submodule.
            RunError: If the run can't be begun.
        """
        if self._recorder is not None and step < self._step:
            self.end(RuntimeError("the training began anew"))
        if self._recorder is None:
            self._recorder = self._open(self._part(model), steps_per_epoch)
        self.record(step)

    def record(self, step: int, values: Mapping[str, Any] | None = None) -> None:
        """Record those of `values` that are numbers at `step`, and the snapshot that is due then."""
        if self._recorder is not None:
            self._step = step
            self._recorder.record(step, scalars(values or {}))

    def end(self, error: BaseException | None = None) -> None:
        """End the run as finished, as stopped after Ctrl-C, or as failed after any other error."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.__exit__(type(error) if error is not None else None, error, None)

    def _open(self, model: nn.Module, steps_per_epoch: int | None) -> Recorder:
        options = self._options.copy()
        if options.get("steps_per_epoch") is None:
            options["steps_per_epoch"] = steps_per_epoch
        return Recorder(self._path, model, **options)

    def _part(self, model: nn.Module) -> nn.Module:
        if self._module is None:
            return model
        try:
            return model.get_submodule(self._module)
        except AttributeError as error:
            known = ", ".join(name for name, _ in model.named_children()) or "none"
            raise ConfigError(
                f"{type(model).__name__} has no module {self._module!r} to record; it has {known}"
            ) from error
