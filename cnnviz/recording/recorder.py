"""The only writer of a run."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

import torch

from cnnviz.errors import ConfigError, RunError
from cnnviz.probe import layers_in_order
from cnnviz.recording.database import Entry, Reader, Writer
from cnnviz.recording.layout import Layout
from cnnviz.recording.lock import WriterLock
from cnnviz.recording.manifest import (
    Description,
    Layer,
    Manifest,
    new_id,
    now,
    read_manifest,
    software_versions,
    write_manifest,
)
from cnnviz.recording.samples import checked_samples, write_samples
from cnnviz.recording.schedule import Schedule, every
from cnnviz.recording.tensors import state_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from torch import Tensor, nn

Ending = Literal["finished", "stopped", "diverged", "failed"]


class Recorder:
    """Records a training into a run: metrics at every call of `record`, snapshots when the schedule says so.

    It leaves the network and the random state bit for bit as they were. As a context manager it closes the run as
    finished, as stopped after Ctrl-C, or as failed after any other exception.
    """

    def __init__(  # noqa: PLR0913 - the one line that a user's loop needs; all but two have defaults
        self,
        path: str | PathLike[str],
        model: nn.Module,
        *,
        snapshots: Schedule = every(100),  # noqa: B008 - frozen
        samples: tuple[Tensor, Tensor] | None = None,
        description: Description | None = None,
        durable: bool = False,
        resume: bool = False,
    ) -> None:
        """Begin a run, or go on with one.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            model: The network that is trained.
            snapshots: Says at which steps to take a snapshot.
            samples: Validation images (n, c, h, w), uint8 or as the network sees them, and labels (n,).
            description: What else to remember of the run; when going on with one, what to remember from now on.
            durable: Whether to force every snapshot to the disk, against a loss of power.
            resume: Go on with the run at `path`. Steps that it holds already are left as they are.

        Raises:
            RunError: If there is a run already, or none to go on with, or another process writes it.
            ConfigError: If the samples are no images and labels, or the description is not what JSON can hold.
        """
        self._layout = Layout(path)
        self._model = model
        self._schedule = snapshots
        self._durable = durable
        self._closed = False
        if samples is not None:
            samples = checked_samples(samples)
        self._begin(resume)
        self._lock = WriterLock(self._layout.lock)
        try:
            self._database = Writer(self._layout.database, durable=durable)
            reader = Reader(self._layout.database)
            self._last_snapshot = max((entry.step for entry in reader.entries(-1)), default=-1)
            self._recorded = reader.last_step()
            self._step = -1
            self._database.set_state(status="running", detail="")
            if not resume:
                self._describe(samples, description or _describe_built(model))
            elif description is not None:
                manifest = replace(read_manifest(self._layout.manifest), description=description)
                write_manifest(self._layout.manifest, manifest, durable=durable)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, KeyboardInterrupt):
            self.close("stopped")
        else:
            self.close("failed", f"{kind.__name__}: {error}")

    @property
    def path(self) -> str:
        """The run's folder."""
        return str(self._layout.root)

    def record(
        self, step: int, metrics: Mapping[str, float | Tensor] | None = None, *, snapshot: bool | None = None
    ) -> None:
        """Record what is known at `step`; it and its snapshot appear to readers together.

        Args:
            step: The number of updates so far, 0 or more, never falling. One step may be recorded in several calls.
            metrics: Names like "validation/error" to numbers; error rates in [0, 1].
            snapshot: Whether to take a snapshot; None asks the schedule.

        Raises:
            ConfigError: If the step falls or is no whole number, or a metric has no name or is no number.
            RunError: If the run is closed.
        """
        if self._closed:
            raise RunError(f"{self.path} is closed; nothing more can be recorded")
        step = _whole(step)
        if step < 0 or step < self._step:
            raise ConfigError(
                f"step {step} can't be recorded after step {self._step}: steps start at 0 and never fall"
            )
        self._step = step
        values = {name: _number(name, value) for name, value in (metrics or {}).items()}
        due = self._schedule(step) if snapshot is None else snapshot
        entry = self._snapshot(step) if due and step > self._last_snapshot else None
        # A resumed training repeats the steps between its checkpoint and its end; what was recorded there stays.
        self._database.write(step, values, entry, replace=step > self._recorded)

    def close(self, status: Ending = "finished", detail: str = "") -> None:
        """End the run; closing twice does nothing.

        Args:
            status: How it ended.
            detail: More on that, for people.
        """
        if self._closed:
            return
        self._closed = True
        self._database.set_state(status=status, detail=detail, ended=now())
        self._database.close()
        self._lock.release()

    def _begin(self, resume: bool) -> None:
        root = self._layout.root
        if resume:
            read_manifest(self._layout.manifest)
        elif root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise RunError(f"{root} exists already: choose another name, or go on with it (resume)")
        try:
            self._layout.snapshots.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{root} can't be made: {error}") from error

    def _describe(self, samples: tuple[Tensor, Tensor] | None, description: Description) -> None:
        if samples is not None:
            write_samples(self._layout.samples, samples, durable=self._durable)
        found = _find_layers(self._model, samples)
        manifest = Manifest(
            id=new_id(),
            created=now(),
            class_name=type(self._model).__qualname__,
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            layers=tuple(Layer(name, kind) for name, kind, _ in found),
            shapes={name: shape for name, _, shape in found if shape},
            software=software_versions(),
            description=description,
        )
        # Last: a folder with run.json is a run, so none is ever seen without its database and samples.
        write_manifest(self._layout.manifest, manifest, durable=self._durable)

    def _snapshot(self, step: int) -> Entry:
        path = self._layout.snapshot(step)
        size, digest = write_tensors(path, state_tensors(self._model), durable=self._durable)
        self._last_snapshot = step
        return Entry(step, path.name, size, digest)


def _whole(step: int) -> int:
    try:
        return operator.index(step)  # of numpy's and torch's integers, which SQLite doesn't know
    except TypeError as error:
        raise ConfigError(f"a step is a whole number, not {step!r}") from error


def _number(name: str, value: float | Tensor) -> float:
    try:
        name.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise ConfigError(f"{name!r} is no name of a metric: names are text") from error
    try:
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ConfigError(f"metric {name!r} is no number: {value!r}") from error


def _find_layers(
    model: nn.Module, samples: tuple[Tensor, Tensor] | None
) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return layers in forward order by running one sample; without samples, in the order of the module tree."""
    if samples is not None and len(samples[0]):
        image = samples[0][:1]
        image = image / 255 if image.dtype == torch.uint8 else image.float()
        first = next(model.parameters(), None)
        if first is not None:
            image = image.to(device=first.device, dtype=first.dtype)
        # The network may take something else than a bare image batch; recording must not fail over it.
        with contextlib.suppress(Exception):
            return layers_in_order(model, image)
    leaves = [(name, m) for name, m in model.named_modules() if name and next(m.children(), None) is None]
    return [(name, type(module).__name__, ()) for name, module in leaves]


def _describe_built(model: nn.Module) -> Description:
    """Return the recipe that a network of the registry carries, so that its snapshots can be rebuilt."""
    recipe = getattr(model, "cnnviz_recipe", None)
    return Description(model=recipe[0], arguments=recipe[1]) if recipe else Description()
