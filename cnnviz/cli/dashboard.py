"""`cnnviz dashboard`: look at runs in the browser."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cnnviz.cli.given import given_options
from cnnviz.cli.locating import RUNS, find_root


def dashboard(
    ctx: typer.Context,
    root: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = RUNS,
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="The port; if you name none and 8050 is taken, the next free one."
        ),
    ] = 8050,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> None:
    """Look at runs in the browser, also while they train. Ctrl-C ends it."""
    folder = find_root(root)
    from cnnviz_dashboards.serve import serve  # after the folder is known: it takes seconds to import

    strict = "port" in given_options(ctx)
    serve(folder, host=host, port=port, strict_port=strict, open_browser=browser)
