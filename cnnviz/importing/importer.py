"""Making a run of checkpoints that exist already."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.data import load
from cnnviz.errors import ModelError, RunError
from cnnviz.importing.damaged import Damaged
from cnnviz.importing.description import describe
from cnnviz.importing.event_files import scalars
from cnnviz.importing.linking import check_linkable, link
from cnnviz.importing.options import ImportOptions
from cnnviz.importing.series import find_series
from cnnviz.importing.sources import find
from cnnviz.importing.trainer_folders import logged_metrics
from cnnviz.models import MODELS
from cnnviz.recording.run import open_run
from cnnviz.recording.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from torch import nn

    from cnnviz.data.split import Data
    from cnnviz.importing.series import Series
    from cnnviz.importing.sources import Found
    from cnnviz.importing.states import State
    from cnnviz.recording.run import Run

ImportProgress = Callable[[int, int], None]
"""Is told how many checkpoints of how many are in the run."""

_DEFAULT = ImportOptions()


def import_checkpoints(
    paths: Sequence[str | PathLike[str]],
    into: str | PathLike[str],
    *,
    model: str | nn.Module | None = None,
    options: ImportOptions = _DEFAULT,
    progress: ImportProgress | None = None,
) -> Run:
    """Make a run of checkpoints: each becomes a snapshot, and what was logged beside them the metrics.

    Read are safetensors, also in shards, files of torch.save and Lightning, folders of Hugging Face's Trainer, and
    TensorBoard's event files. Nothing in a file is ever executed. If anything fails, no run is left behind.

    Args:
        paths: Files, and folders to search.
        into: The run's folder; it is made, and must not hold anything yet.
        model: The network: a name that `cnnviz.models.build` knows, `package.module:factory`, or the module itself,
            whose values do not matter. Without it the run holds weights and names only.
        options: How to read them.
        progress: Is told after each checkpoint how many are done, and of how many.

    Returns:
        The run; its description's `config` says where the steps come from, what was unwrapped and what was skipped.

    Raises:
        ConfigError: If there is no checkpoint, two have one step, or an option can't be used.
        DataError: If a file can't be read, or holds more than weights.
        ModelError: If the network can't be built, or the weights don't fit it; the message names layers.
        RunError: If the run can't be written.
    """
    target = Path(into)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target} exists already: choose another name")
    if isinstance(model, str):
        MODELS.get(model)  # an unknown name is told before anything is read
    damaged = Damaged(skip=options.skip_damaged)
    found = find([Path(path).expanduser() for path in paths], damaged)
    data = _data(options)
    series = find_series(found.checkpoints, model, options, data, damaged)
    if options.link:
        check_linkable(list(series.checkpoints.values()), target)
    metrics = _metrics(found, damaged)
    facts = {
        "checkpoints": len(series.checkpoints),
        "steps": series.source,
        "left_out": found.left_out,
        "skipped": damaged.left_out,
    }
    manifest = describe(series.network, series.first, data, options.image_size, facts)
    existed = target.exists()
    writer = RunWriter(target)
    try:
        writer.describe(manifest, data.validation.head(options.samples) if data is not None else None)
        _Import(writer, series, damaged, link=options.link).write(metrics, progress or (lambda *_: None))
        writer.close()
        run = open_run(target, model)
        if run.steps.tolist() != list(series.checkpoints):
            raise RunError(f"{target} could not be written whole; is the disk full?")
    except BaseException:
        writer.close("failed")
        shutil.rmtree(target, ignore_errors=True)
        if existed:
            target.mkdir()
        raise
    return run


class _Import:
    """Fills one run."""

    def __init__(self, writer: RunWriter, series: Series, damaged: Damaged, *, link: bool) -> None:
        self._writer = writer
        self._series = series
        self._damaged = damaged
        self._link = link

    def write(self, metrics: Mapping[int, Mapping[str, float]], progress: ImportProgress) -> None:
        """Write all steps in their order."""
        checkpoints = self._series.checkpoints
        done = 0
        for step in sorted({*checkpoints, *metrics}):
            values = metrics.get(step, {})
            if step not in checkpoints:
                self._writer.write(step, values)
                continue
            with self._damaged.tolerated():  # what is to be left out was found before
                self._snapshot(step, values, self._series.states.read(checkpoints[step]))
            done += 1
            progress(done, len(checkpoints))

    def _snapshot(self, step: int, metrics: Mapping[str, float], state: State) -> None:
        try:
            if self._link and state.checkpoint.linkable:
                link(self._writer, step, metrics, state)
                return
            self._writer.write(step, metrics, state.tensors)
        except ModelError as error:
            raise ModelError(f"{state.checkpoint.path}: {error}") from error
        if self._writer.last_snapshot != step:  # a training goes on without it; here it can be done again
            raise RunError(f"the disk did not take the snapshot of step {step}; is it full?")


def _metrics(found: Found, damaged: Damaged) -> dict[int, dict[str, float]]:
    """Return step to metrics, of all that was logged; the Trainer's own word comes before TensorBoard's."""
    damaged.several = True  # a run can do without them
    metrics = scalars(found.events, damaged)
    for state in found.trainer_states:
        with damaged.tolerated():
            for step, values in logged_metrics(state).items():
                metrics.setdefault(step, {}).update(values)
    return metrics


def _data(options: ImportOptions) -> Data | None:
    if options.data is None:
        return None
    return load(options.data, root=options.data_root, image_size=options.image_size, progress=False)
