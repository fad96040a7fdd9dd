"""Going on with a run: which one, and with which options."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from cnnviz.cli.job import Job
from cnnviz.cli.locating import RUNS
from cnnviz.cli.naming import check_name
from cnnviz.errors import ConfigError, RunError
from cnnviz.training.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from cnnviz.recording.run import Run

_UNFINISHED = ("stopped", "interrupted", "failed")
_MAY_CHANGE = ("epochs", "device", "data_root", "within")


def run_to_resume(root: Path, name: str | None) -> Run:
    """Return the run called `name`, or the newest that was left unfinished and can be gone on with.

    Raises:
        RunError: If there is none.
    """
    from cnnviz.recording.run import list_runs, open_run

    if name is not None:
        run = open_run(root / check_name(name))
        _check_resumable(run)
        return run
    for run in list_runs(root):
        # Those of other loops can't be gone on with from here.
        if _status(run) in _UNFINISHED and run.manifest.description.config:
            return run
    raise RunError(
        f"no run under {root} was left unfinished by cnnviz train; to train a finished one for longer: "
        f"{resume_command(root, 'NAME')} --epochs N"
    )


def resumed_job(run: Run, asked: TrainConfig, given: Collection[str]) -> Job:
    """Return the job of going on with `run` with its recorded options.

    Args:
        run: The run.
        asked: The options of the command line.
        given: Which of them the user gave.

    Raises:
        ConfigError: If an option that was given differs from the recorded one and may not.
        RunError: If the run was not made by `cnnviz train`.
    """
    recorded = run.manifest.description.config
    if not recorded:
        raise RunError(f"{run.path} was not made by cnnviz train, so it can't go on with it")
    config = TrainConfig.from_json(recorded)
    changed = {o.name: getattr(asked, o.name) for o in fields(asked) if o.name in given}
    for option, value in changed.items():
        _check_change(option, getattr(config, option), value)
    _check_named(config, given)
    return Job(replace(config, **changed), run.path, resume=True)


def is_complete(run: Run, job: Job) -> bool:
    """Say whether `run` already holds all that `job` asks for."""
    return run.status == "finished" and job.config.epochs == run.manifest.description.config["epochs"]


def resume_command(root: Path, name: str) -> str:
    """Return the command that goes on with the run `name` under `root`."""
    where = "" if root == RUNS else f" --root {shlex.quote(str(root))}"
    return f"cnnviz train --resume --name {shlex.quote(name)}{where}"


def _check_resumable(run: Run) -> None:
    status = run.status
    if status == "running":
        raise RunError(f"{run.path} is still being trained by another process")
    if status == "diverged":
        raise RunError(f"{run.path} diverged {run.detail}; going on would repeat it, so train anew")


def _status(run: Run) -> str:
    try:
        return run.status
    except RunError:
        return "unreadable"


def _check_change(option: str, recorded: Any, wanted: Any) -> None:
    flag = "--model-arg" if option == "model_arguments" else f"--{option.replace('_', '-')}"
    if option == "epochs" and wanted < recorded:
        raise ConfigError(
            f"--epochs {wanted} is less than the run's {recorded}; on resume it can only be raised"
        )
    if option not in _MAY_CHANGE and wanted != recorded:
        raise ConfigError(
            f"{flag} {wanted} differs from the run's {recorded}: a resumed training keeps its options; "
            "only --epochs, --device, --data-root and --within may be given anew"
        )


def _check_named(config: TrainConfig, given: Collection[str]) -> None:
    """Refuse to import code that only the run's own files name: a run may come from anybody."""
    from cnnviz.data import DATASETS

    own = {
        "model": ":" in config.model,
        "data": ":" in config.data and config.data.partition(":")[0] not in DATASETS,
    }
    for option, is_own in own.items():
        if is_own and option not in given:
            value = getattr(config, option)
            raise ConfigError(
                f"the run's {option} is {value}, code of your own: name it again to go on, --{option} {value}"
            )
