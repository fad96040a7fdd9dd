"""One training that the command line asks for: what, and where."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from cnnviz.cli.naming import check_name, claim_folder, default_name
from cnnviz.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from cnnviz.training.config import TrainConfig


class Job(NamedTuple):
    """What to train, into which folder, and whether to go on with the run that lies there."""

    config: TrainConfig
    path: Path
    resume: bool = False

    def leave_no_empty_folder(self) -> None:
        """Remove the folder if the training did not get as far as writing into it."""
        with suppress(OSError):
            self.path.rmdir()


def new_job(config: TrainConfig, root: Path, name: str | None) -> Job:
    """Return the job of a new run.

    Args:
        config: What to train.
        root: The folder of runs.
        name: What the run is to be called; None takes the first free name after the network and the data.

    Raises:
        RunError: If the root is a file.
        typer.BadParameter: If the name can't be that of one folder.
    """
    if root.exists() and not root.is_dir():
        raise RunError(f"{root} is not a folder that could hold runs; name another: --root")
    if name is not None:
        return Job(config, root / check_name(name))
    return Job(config, claim_folder(root, default_name(config.model, config.data)))
