"""`cnnviz dashboard`: look at runs in the browser."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cnnviz.cli.given import given_options
from cnnviz.cli.locating import RUNS, find_root
from cnnviz.models import MODELS


def dashboard(  # noqa: PLR0913 - each is an option
    ctx: typer.Context,
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = RUNS,
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="The port; if you name none and 8050 is taken, the next free one."
        ),
    ] = 8050,
    model: Annotated[
        str | None,
        typer.Option(help="What makes the network of runs of a class of your own: package.module:factory."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Look at runs in the browser, also while they train. Ctrl-C ends it."""
    folder = find_root(root)
    if model is not None:
        MODELS.get(model)  # a name that can't be found is told now, not on a page
    from cnnviz_dashboards.app import create_app  # after the folder is known: it takes seconds to import
    from cnnviz_dashboards.serve import serve

    strict = "port" in given_options(ctx)
    serve(create_app(folder, model), host=host, port=port, strict_port=strict, open_browser=browser)
