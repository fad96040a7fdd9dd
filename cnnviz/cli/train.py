"""`cnnviz train`: train a network and record it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cnnviz.cli.assignments import json_or_text, split_assignments
from cnnviz.cli.given import given_options
from cnnviz.cli.job import new_job
from cnnviz.cli.locating import RUNS
from cnnviz.cli.performing import perform
from cnnviz.cli.resuming import is_complete, resume_command, resumed_job, run_to_resume
from cnnviz.training.config import OPTIMIZERS, TrainConfig

_DEFAULT = TrainConfig()
_NETWORK, _DATA, _TRAINING, _RECORDING = "Network", "Data", "Training", "Recording"


def train(  # noqa: PLR0913 - each is an option; a test holds that every field of TrainConfig has one
    ctx: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            rich_help_panel=_NETWORK,
            help="convnet, a classification network of torchvision by its name, or your own package.module:factory.",
        ),
    ] = _DEFAULT.model,
    model_arguments: Annotated[
        list[str] | None,
        typer.Option(
            "--model-arg",
            rich_help_panel=_NETWORK,
            metavar="KEY=VALUE",
            help="An argument of the network, its value as JSON or text: depth=[8,16]. Repeatable.",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            rich_help_panel=_DATA,
            help="mnist, fashion-mnist, kmnist, cifar10, mnist-mini (comes with cnnviz), folder:PATH, "
            "or your own package.module:factory.",
        ),
    ] = _DEFAULT.data,
    data_root: Annotated[
        str, typer.Option(rich_help_panel=_DATA, help="The folder that holds data sets; downloads go there.")
    ] = _DEFAULT.data_root,
    image_size: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_DATA,
            help="Bring images to this height and width, in pixels.",
            show_default="as they are",
        ),
    ] = _DEFAULT.image_size,
    epochs: Annotated[
        int, typer.Option(rich_help_panel=_TRAINING, help="Passes over the training set.")
    ] = _DEFAULT.epochs,
    lr: Annotated[float, typer.Option(rich_help_panel=_TRAINING, help="Learning rate.")] = _DEFAULT.lr,
    momentum: Annotated[
        float, typer.Option(rich_help_panel=_TRAINING, help="Momentum of sgd and rmsprop.")
    ] = _DEFAULT.momentum,
    weight_decay: Annotated[
        float, typer.Option(rich_help_panel=_TRAINING, help="L2 penalty; decoupled in adamw.")
    ] = _DEFAULT.weight_decay,
    batch_size: Annotated[
        int, typer.Option(rich_help_panel=_TRAINING, help="Images in a batch.")
    ] = _DEFAULT.batch_size,
    optimizer: Annotated[
        str, typer.Option(rich_help_panel=_TRAINING, help=f"{', '.join(OPTIMIZERS)}.")
    ] = _DEFAULT.optimizer,
    seed: Annotated[
        int, typer.Option(rich_help_panel=_TRAINING, help="Seeds weights, order and dropout.")
    ] = _DEFAULT.seed,
    device: Annotated[
        str, typer.Option(rich_help_panel=_TRAINING, help="auto, cpu, cuda, cuda:N or mps.")
    ] = _DEFAULT.device,
    every: Annotated[
        int, typer.Option(rich_help_panel=_RECORDING, help="Record after every so many batches of an epoch.")
    ] = _DEFAULT.every,
    snapshots: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_RECORDING,
            metavar="SCHEDULE",
            help='When to keep the weights, as "log_spaced(10) | every(500)".',
            show_default="with every record",
        ),
    ] = _DEFAULT.snapshots,
    within: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_RECORDING,
            metavar="SIZE",
            help='Keep the run within a size, as "500 MB": old snapshots are thinned out evenly.',
            show_default="all are kept",
        ),
    ] = _DEFAULT.within,
    samples: Annotated[
        int, typer.Option(rich_help_panel=_RECORDING, help="Validation images that travel with the run.")
    ] = _DEFAULT.samples,
    root: Annotated[
        Path, typer.Option(rich_help_panel=_RECORDING, help="The folder that holds the runs.")
    ] = RUNS,
    name: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_RECORDING, help="The run's name.", show_default="MODEL-DATA, then -2, -3, …"
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run --name, or with the newest unfinished one. It keeps its options; "
            "--epochs may be raised, --device, --data-root and --within may change.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a network and record how it learns.

    Ctrl-C ends the training cleanly, and --resume goes on with it. Without options it is a small network on MNIST.
    """
    arguments = split_assignments(model_arguments or [], "--model-arg")
    asked = TrainConfig(
        model=model,
        model_arguments={key: json_or_text(value) for key, value in arguments.items()},
        data=data,
        data_root=data_root,
        image_size=image_size,
        epochs=epochs,
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
        optimizer=optimizer,
        every=every,
        snapshots=snapshots,
        within=within,
        seed=seed,
        device=device,
        samples=samples,
    )
    root = root.expanduser()
    if not resume:
        perform(new_job(asked, root, name), quiet=quiet)
        return
    run = run_to_resume(root, name)
    job = resumed_job(run, asked, given_options(ctx))
    if not is_complete(run, job):
        perform(job, quiet=quiet)
    elif not quiet:
        print(
            f"{run.path} is complete: all of its {job.config.epochs} epochs are done. To train it for longer: "
            f"{resume_command(root, run.name)} --epochs {2 * job.config.epochs}"
        )
