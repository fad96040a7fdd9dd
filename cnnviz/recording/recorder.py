"""Recording a training from inside its loop."""

from __future__ import annotations

import operator
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import torch
from torch import nn

from cnnviz.errors import ConfigError, ModelError, RecordingWarning, RunError, SnapshotError
from cnnviz.recording.background import BackgroundWriter
from cnnviz.recording.bare import bare_module, is_built, records_here, state_tensors, trains_elsewhere
from cnnviz.recording.describing import count_parameters, describe_built, make_manifest
from cnnviz.recording.differing import differences, shortened
from cnnviz.recording.manifest import read_manifest
from cnnviz.recording.samples import checked_samples, read_samples
from cnnviz.recording.schedule import Schedule, bind, every, hopes, limit_of
from cnnviz.recording.snapshot_files import SnapshotFiles
from cnnviz.recording.thinning import axis_of
from cnnviz.recording.visits import Visits
from cnnviz.recording.writer import Ending, Limit, Record, RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.recording.manifest import Description, Manifest

# What examples did is packed and written this often: seldom enough to cost nothing, often enough to lose little.
_EXAMPLES_SECONDS = 5.0


class Recorder:
    """Records a training into a run: metrics at every call of `record`, snapshots when the schedule says so.

    It leaves the network and the random state bit for bit as they were. As a context manager it closes the run as
    finished, as stopped after Ctrl-C, or as failed after any other exception. In a distributed training rank 0
    records, and on the other ranks all of it does nothing.

    On a full or lost disk the training goes on: one RecordingWarning is shown, and the run tells what is missing.
    """

    def __init__(  # noqa: PLR0913 - the one line that a user's loop needs; all but two have defaults
        self,
        path: str | PathLike[str],
        model: nn.Module,
        *,
        snapshots: Schedule = every(100),  # noqa: B008 - frozen
        samples: tuple[Tensor, Tensor] | None = None,
        description: Description | None = None,
        steps_per_epoch: int | None = None,
        durable: bool = False,
        resume: bool = False,
        background: bool | None = None,
    ) -> None:
        """Begin a run, or go on with one.

        Args:
            path: The run's folder; it is made, and must not hold a run yet.
            model: The network that is trained; of one that is compiled, or wrapped to run in parallel, the bare one.
            snapshots: Says at which steps to take a snapshot, and with `within` how large the run may grow.
            samples: Validation images (n, c, h, w), uint8 or as the network sees them, and labels (n,).
            description: What else to remember of the run; when going on with one, what to remember from now on.
            steps_per_epoch: How many steps an epoch has, for schedules that count epochs.
            durable: Whether to force every snapshot to the disk, against a loss of power.
            resume: Go on with the run at `path`. Steps that it holds already are left as they are.
            background: Whether to write in a thread of its own; by default where the network is on an accelerator
                or the training is distributed, as elsewhere it is slower (benchmarks/recording.py).

        Raises:
            RunError: If there is a run already, or none to go on with, or another process writes it.
            ModelError: If the run to go on with is of another network.
            ConfigError: If `model` is no network, the samples are no images and labels, the description is not what
                JSON can hold, or the schedule counts epochs and nobody says how long they are.
        """
        if not isinstance(model, nn.Module):
            raise ConfigError(
                f"a Recorder takes the network that is trained, a torch.nn.Module, not {model!r}"
            )
        self.path = str(path)
        self._model = model
        self._schedule = bind(snapshots, steps_per_epoch)
        self._step = -1
        self._closed = False
        self._manifest: Manifest | None = None
        self._shapes: dict[str, torch.Size] = {}
        self._warned_unbuilt = False
        self._writer: RunWriter | None = None
        self._background: BackgroundWriter | None = None
        self._visits = Visits()
        self._examples_due = time.monotonic() + _EXAMPLES_SECONDS
        if samples is not None:
            samples = checked_samples(samples)
        self._samples = samples
        if records_here():
            size = limit_of(self._schedule)
            limit = None if size is None else Limit(size, axis_of(self._schedule))
            writer = RunWriter(path, durable=durable, resume=resume, limit=limit)
            try:
                self._begin(writer, description, resume=resume)
            except BaseException:
                writer.release()
                raise
            self._writer = writer
            self._last_snapshot = writer.last_snapshot
            if background if background is not None else trains_elsewhere(model):
                self._background = BackgroundWriter(writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.close()
        elif issubclass(kind, KeyboardInterrupt):
            self.close("stopped")
        else:
            self.close("failed", f"{kind.__name__}: {error}")

    def record(
        self, step: int, metrics: Mapping[str, float | Tensor] | None = None, *, snapshot: bool | None = None
    ) -> None:
        """Record what is known at `step`; it and its snapshot appear to readers together.

        Args:
            step: The number of updates so far, 0 or more, never falling. One step may be recorded in several calls.
            metrics: Names like "validation/error" to numbers; error rates in [0, 1]. Where they lie on an
                accelerator and the run is written in the background, nothing waits for them.
            snapshot: Whether to take a snapshot; None asks the schedule.

        Raises:
            ConfigError: If the step falls or is no whole number, or a metric has no name or is no number.
            ModelError: If the network's state can't be recorded; one written in the background is told of by a later
                call, which records all the same.
            RunError: If the run is closed.
        """
        step = self._checked(step)
        if self._writer is None:
            return
        numbers, pending = _numbers(metrics or {}, keep=self._background is not None)
        self._step = step
        due = self._schedule(step) if snapshot is None else snapshot
        state = self._state() if due and step > self._last_snapshot else None
        # A resumed training repeats the steps between its checkpoint and its end; what was recorded there stays.
        record = Record(step, numbers, state, replace=step > self._writer.recorded)
        if state is not None:
            record = self._described(record, state)
        self._put_examples(step)
        self._put(record, pending)
        if state is not None:
            self._last_snapshot = step
        self._check()

    def record_examples(
        self,
        step: int,
        indices: Tensor | NDArray[np.int64] | Sequence[int],
        correct: Tensor | NDArray[np.bool_] | Sequence[bool],
        loss: Tensor | NDArray[np.float32] | Sequence[float],
    ) -> None:
        """Record what the network made of some training examples; see `Run.examples`.

        It is kept with 7 bits an example and visit: right or wrong exactly, the loss to some 7 %.

        Args:
            step: The number of updates so far, 0 or more.
            indices: (b,), the numbers of the examples in the training set, from 0.
            correct: (b,), whether the network was right.
            loss: (b,), the loss of each.

        Raises:
            ConfigError: If the three do not fit together.
            RunError: If the run is closed.
        """
        if self._closed:
            raise RunError(f"{self.path} is closed; nothing more can be recorded")
        if self._writer is not None:
            self._visits.add(_whole(step), indices, correct, loss)
            self._put_examples(_whole(step))
            self._check()

    def flush(self) -> None:
        """Wait until all that was recorded is written; at once where nothing is written in the background.

        Raises:
            CnnvizError: What something recorded earlier met there.
        """
        if self._writer is None or self._closed:
            return
        self._examples_due = 0.0
        self._put_examples(max(self._step, 0))
        self._put(Record(max(self._step, 0)), {})
        if self._background is not None:
            self._background.flush()

    def close(self, status: Ending = "finished", detail: str = "") -> None:
        """End the run; closing twice does nothing.

        Args:
            status: How it ended.
            detail: More on that, for people.

        Raises:
            CnnvizError: What something recorded earlier met in the background; a run that finished has failed then.
        """
        if self._closed:
            return
        try:
            self.flush()
            self._warn_of_nothing(status)
        except Exception as error:
            if status == "finished":
                status, detail = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            self._closed = True
            if self._background is not None:
                self._background.close(status, detail)
            elif self._writer is not None:
                self._writer.close(status, detail)

    def _begin(self, writer: RunWriter, description: Description | None, *, resume: bool) -> None:
        bare = bare_module(self._model)
        if not resume:
            manifest = make_manifest(bare, self._samples, description or describe_built(bare))
            manifest = writer.describe(manifest, self._samples)
        else:
            manifest = read_manifest(writer.layout.manifest)
            if description is not None:
                manifest = replace(manifest, description=description)
                writer.describe(manifest, None)
            self._require_same(writer, bare)
            self._visits.restore(*writer.reader.examples())
            if self._samples is None:
                self._samples = _stored_samples(writer.layout.samples)
        self._manifest = manifest
        # What was described before lazy layers had their weights is described anew with the first snapshot.
        if manifest.parameters == count_parameters(bare):
            with suppress(ModelError):  # told when a snapshot is due
                state = state_tensors(bare)
                self._shapes = _shapes(state) if is_built(state.values()) else {}

    def _require_same(self, writer: RunWriter, bare: nn.Module) -> None:
        """Raise ModelError unless the network is, as far as it is built, that of the run's last snapshot."""
        if writer.last_snapshot < 0:
            return
        with suppress(SnapshotError):  # a damaged snapshot keeps nobody from going on
            recorded = SnapshotFiles(writer.layout).shapes(writer.last_snapshot)
            state = state_tensors(bare)
            # Layers may yet be created by the first forward pass, or get their sizes from it.
            built = {name: tensor.shape for name, tensor in state.items() if is_built([tensor])}
            common = {name: recorded[name] for name in built if name in recorded}
            different = differences(built, recorded) if built and not common else []
            different = different or differences({name: built[name] for name in common}, common)
            if different:
                raise ModelError(
                    f"{type(bare).__name__} is not the network that {self.path} is of: {shortened(different)}; go on "
                    "with the one that was trained, or begin another run"
                )

    def _state(self) -> dict[str, Tensor] | None:
        state = state_tensors(self._model)
        if is_built(state.values()):
            return state
        if not self._warned_unbuilt:
            self._warned_unbuilt = True
            warnings.warn(
                f"step {self._step} of {self.path} has no snapshot: the network's lazy layers have no weights before "
                "its first forward pass",
                RecordingWarning,
                stacklevel=3,
            )
        return None

    def _warn_of_nothing(self, status: Ending) -> None:
        """Say that there is no snapshot to be looked at, where the schedule made hope for some."""
        empty = (
            self._writer is not None and self._last_snapshot < 0 <= self._step and not self._writer.missing
        )
        if empty and status == "finished" and hopes(self._schedule) and not self._warned_unbuilt:
            warnings.warn(
                f"{self.path} holds no snapshot: {self._schedule} says yes at none of the steps that were recorded, "
                f"the last {self._step}; record(step, snapshot=True) takes one at any step",
                RecordingWarning,
                stacklevel=4,
            )

    def _described(self, record: Record, state: Mapping[str, Tensor]) -> Record:
        """Let run.json tell of layers that were created on the way, or got their weights."""
        shapes = _shapes(state)
        if shapes == self._shapes or self._manifest is None:
            return record
        before = self._manifest
        fresh = make_manifest(bare_module(self._model), self._samples, before.description)
        self._manifest = replace(fresh, id=before.id, created=before.created, samples=before.samples)
        self._shapes = shapes
        return replace(record, manifest=self._manifest)

    def _put(self, record: Record, pending: Mapping[str, Tensor]) -> None:
        if self._background is not None:
            self._background.put(record, pending)
        elif self._writer is not None:
            self._writer.put(record)

    def _put_examples(self, step: int) -> None:
        """Write what examples did, if it is time; not with a state, which may be refused with all that is with it."""
        if time.monotonic() < self._examples_due:
            return
        self._examples_due = time.monotonic() + _EXAMPLES_SECONDS
        changed = self._visits.flush()
        if changed:
            self._put(Record(step, examples=changed, examples_step=self._visits.last_step), {})

    def _check(self) -> None:
        if self._background is not None:
            self._background.check()

    def _checked(self, step: int) -> int:
        if self._closed:
            raise RunError(f"{self.path} is closed; nothing more can be recorded")
        step = _whole(step)
        if step < 0 or step < self._step:
            raise ConfigError(
                f"step {step} can't be recorded after step {self._step}: steps start at 0 and never fall"
            )
        return step


def _stored_samples(path: Path) -> tuple[Tensor, Tensor] | None:
    """Return the samples that a run holds already, to find its layers with; None where they are damaged."""
    try:
        stored = read_samples(path)
    except RunError:
        return None
    return (stored.images, stored.labels) if len(stored) else None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _whole(step: int) -> int:
    try:
        return operator.index(step)  # of numpy's and torch's integers, which SQLite doesn't know
    except TypeError as error:
        raise ConfigError(f"a step is a whole number, not {step!r}") from error


def _numbers(
    metrics: Mapping[str, float | Tensor], *, keep: bool
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Return the metrics as numbers; if `keep`, apart from them those that an accelerator may not have computed yet."""
    pending = {
        name: value
        for name, value in metrics.items()
        if keep and isinstance(value, torch.Tensor) and value.device.type != "cpu"
    }
    for name, value in pending.items():
        _check_name(name)
        if value.numel() != 1 or value.is_complex():
            raise ConfigError(f"metric {name!r} is no number: a tensor of shape {tuple(value.shape)}")
    numbers = {name: _number(name, value) for name, value in metrics.items() if name not in pending}
    return numbers, pending


def _check_name(name: str) -> None:
    try:
        name.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise ConfigError(f"{name!r} is no name of a metric: names are text") from error


def _number(name: str, value: float | Tensor) -> float:
    _check_name(name)
    try:
        return float(value.detach() if isinstance(value, torch.Tensor) else value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ConfigError(f"metric {name!r} is no number: {value!r}") from error
