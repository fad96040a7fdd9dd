"""The application: all commands under one name."""

from __future__ import annotations

from typing import Annotated

import typer

import cnnviz
from cnnviz.cli.check import check
from cnnviz.cli.dashboard import dashboard
from cnnviz.cli.export import export
from cnnviz.cli.import_ import import_
from cnnviz.cli.pack import pack
from cnnviz.cli.plot import plot
from cnnviz.cli.runs import runs
from cnnviz.cli.show import show
from cnnviz.cli.train import train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes: 0 done, 1 an error (one line tells which), 2 wrong usage, 130 stopped with Ctrl-C.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"cnnviz {cnnviz.__version__}")
        raise typer.Exit


@app.callback()
def cnnviz_command(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """See how a convolutional network learns, and why it predicts what it predicts.

    Train one with `cnnviz train`, then look at it with `cnnviz dashboard`.
    """


app.command()(train)
app.command()(dashboard)
app.command()(runs)
app.command()(show)
app.command()(plot)
app.command("import")(import_)
app.command()(export)
app.command()(pack)
app.command()(check)
