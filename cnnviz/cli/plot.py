"""`cnnviz plot`: one plot of a run as a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.assignments import split_assignments
from cnnviz.cli.console import stdout_console
from cnnviz.cli.locating import find_run
from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.plots.plot import Plot
    from cnnviz.recording.run import Run

# The arguments that have an option of their own; any other goes through --set.
_SHORTCUTS = ("layer", "channel", "image")


def _print_list(wanted: bool) -> None:
    if not wanted:
        return
    from rich.table import Table

    from cnnviz.plots.plot import PLOTS

    table = Table.grid(padding=(0, 2))
    for name in PLOTS.names():
        plot = PLOTS.get(name)
        sentence = (plot.__doc__ or "").strip().partition("\n")[0]
        table.add_row(name, " ".join(_options(plot)), sentence)
    stdout_console().print(table)
    raise typer.Exit


def plot(  # noqa: PLR0913 - each is an option
    name: Annotated[str, typer.Argument(help="The plot's name; --list shows them all.")],
    run: Annotated[str, typer.Argument(help="A run's folder, or its name under ./runs.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file to write: .gif .mp4 .html .png .svg .pdf, by suffix."),
    ],
    step: Annotated[
        int | None,
        typer.Option(
            help="Draw the still at this step. Without it, .gif, .mp4 and .html hold the film of the whole run, "
            "and pictures its last step.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="The layer.", show_default="the first")] = None,
    channel: Annotated[int | None, typer.Option(help="The input channel.", show_default="0")] = None,
    image: Annotated[
        str | None,
        typer.Option(help="The number of one of the run's samples, or an image file.", show_default="0"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other argument of the plot; repeatable."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FACTORY",
            help="What makes the network, for runs of a network of your own.",
            show_default=False,
        ),
    ] = None,
    _list: Annotated[
        bool, typer.Option("--list", help="List the plots.", callback=_print_list, is_eager=True)
    ] = False,
) -> None:
    """Draw a plot of a run into a file, as a film or a still."""
    from cnnviz.charts.to_file import check_place

    shortcuts = zip(_SHORTCUTS, (layer, channel, image), strict=True)
    texts = [f"{key}={value}" for key, value in shortcuts if value is not None]
    chosen = split_assignments([*texts, *(settings or [])], "--set")
    drawer = _find_plot(name)
    opened = find_run(run, model)
    source = opened if step is None else opened.at(step)
    check_place(output, still=step is not None)
    drawer(source, **_arguments(drawer, opened, chosen)).save(output)
    print(f"Wrote {output}")


def _find_plot(name: str) -> Plot:
    from cnnviz.plots.plot import PLOTS, Plot

    found: object = PLOTS.get(name)
    if not isinstance(found, Plot):  # an attribute of the user's own module may be anything
        raise ConfigError(
            f"{name} is a {type(found).__name__}, not a plot: decorate it with cnnviz.plots.plot.plot"
        )
    return found


def _arguments(plot: Plot, run: Run, chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return the plot's arguments: what is chosen as it is, so that the plot itself refuses it; else defaults."""
    known = _control_names(plot)
    for name in chosen:
        if name not in known:
            has = ", ".join(_options(plot)) or "none"
            raise ConfigError(f"the plot {plot.name} has no option {_option(name)}; it has {has}")
    files = {name: text for name, text in chosen.items() if name == "image" and not _is_number(text)}
    texts = {name: text for name, text in chosen.items() if name not in files}
    return plot.arguments({**plot.settle(run, chosen), **texts} | dict.fromkeys(files, "0")) | files


def _control_names(plot: Plot) -> list[str]:
    return [control.name for control in plot.controls]


def _options(plot: Plot) -> list[str]:
    return [_option(name) for name in _control_names(plot)]


def _option(control: str) -> str:
    return f"--{control}" if control in _SHORTCUTS else f"--set {control}=…"


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
