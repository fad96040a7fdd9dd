"""`cnnviz import`: make a run of checkpoints that exist already."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.assignments import json_or_text, split_assignments
from cnnviz.cli.locating import RUNS
from cnnviz.cli.naming import check_name, claim_folder, default_name
from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnnviz.recording.run import Run

_NETWORK, _READING, _RECORDING = "Network", "Reading", "Recording"


def import_(  # noqa: PLR0913 - each is an option
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATHS",
            help="Files (.safetensors, .pt, .pth, .ckpt, TensorBoard's events), and folders to search.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_NETWORK,
            help="convnet, a classification network of torchvision by its name, or your own package.module:factory.",
            show_default="weights and names only",
        ),
    ] = None,
    model_arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--model-arg",
            rich_help_panel=_NETWORK,
            metavar="KEY=VALUE",
            help="An argument of the network, its value as JSON or text; the others are guessed. Repeatable.",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_NETWORK,
            help="Height and width of the network's images, in pixels.",
            show_default="that of --data, else a usual one",
        ),
    ] = None,
    step_pattern: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="REGEX",
            help="Where names hold the step, as one group: 'epoch_([0-9]+)'.",
            show_default="contents, else names, else times",
        ),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            rich_help_panel=_READING,
            help="Leave out files that can't be read or don't fit the network, and say which.",
        ),
    ] = False,
    link: Annotated[
        bool,
        typer.Option(
            "--link", rich_help_panel=_READING, help="Hard-link safetensors files instead of copying them."
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_RECORDING,
            help="A data set whose validation images travel with the run, as in cnnviz train.",
        ),
    ] = None,
    data_root: Annotated[
        str,
        typer.Option(rich_help_panel=_RECORDING, help="The folder that holds data sets; downloads go there."),
    ] = "data",
    samples: Annotated[
        int, typer.Option(rich_help_panel=_RECORDING, help="How many images of --data.")
    ] = 100,
    root: Annotated[
        Path, typer.Option(rich_help_panel=_RECORDING, help="The folder that holds the runs.")
    ] = RUNS,
    name: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_RECORDING, help="The run's name.", show_default="MODEL-FOLDER, then -2, -3, …"
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make a run of checkpoints that exist already.

    Nothing that a file holds is ever executed. Without --model the run holds weights and names only.
    """
    arguments = split_assignments(model_arguments or [], "--model-arg")
    target = _target(root.expanduser(), name, default_name(model or "import", str(_folder(paths[0]))))
    try:
        if not quiet:
            print(f"Importing {_named(paths)} into {target}", file=sys.stderr, flush=True)
        from cnnviz.importing import ImportOptions, import_checkpoints  # here, as it imports torch

        options = ImportOptions(
            model_arguments={key: json_or_text(value) for key, value in arguments.items()},
            image_size=image_size,
            step_pattern=step_pattern,
            skip_damaged=skip_damaged,
            link=link,
            data=data,
            data_root=data_root,
            samples=samples,
        )
        with _bar() if _is_watched(quiet=quiet) else nullcontext(None) as progress:
            run = import_checkpoints(paths, target, model=model, options=options, progress=progress)
    finally:
        with suppress(OSError):
            target.rmdir()  # if the import did not get as far as writing into it
    if not quiet:
        _print_end(run, sized=image_size is not None or data is not None)


def _folder(path: Path) -> Path:
    path = path.expanduser()
    return path if path.is_dir() else path.absolute().parent


def _target(root: Path, name: str | None, default: str) -> Path:
    if root.exists() and not root.is_dir():
        raise RunError(f"{root} is not a folder that could hold runs; name another: --root")
    return root / check_name(name) if name is not None else claim_folder(root, default)


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0]}{more}"


def _is_watched(*, quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how many checkpoints are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("checkpoints"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_end(run: Run, *, sized: bool) -> None:
    from cnnviz.importing.summary import summary  # here, see above

    root = run.path.parent
    look = "cnnviz dashboard" + ("" if root == RUNS else f" {shlex.quote(str(root))}")
    for title, text in {**summary(run, sized=sized), "look": look}.items():
        print(f"{title:10}{text}")
