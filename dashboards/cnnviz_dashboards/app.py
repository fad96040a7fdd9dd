"""The application: `create_app` makes one for a folder of runs; nothing is global."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dash import Dash

from cnnviz.charts.to_player import script, style
from cnnviz_dashboards.folder import RunFolder
from cnnviz_dashboards.router import add_router
from cnnviz_dashboards.routes import add_routes
from cnnviz_dashboards.shell import shell

if TYPE_CHECKING:
    from os import PathLike

    from cnnviz.recording.rebuild import ModelSource


def create_app(root: str | PathLike[str], model: ModelSource = None) -> Dash:
    """Return the dashboard of the runs that lie directly under `root`.

    Args:
        root: The folder that holds the runs.
        model: For runs of a network of the user's own: see `open_run`.
    """
    runs = RunFolder(root, model)
    version = hashlib.blake2b((script() + style()).encode(), digest_size=8).hexdigest()
    arguments: dict[str, Any] = {
        "assets_folder": str(Path(__file__).parent / "assets"),
        "external_scripts": [f"/player.js?v={version}"],
        "external_stylesheets": [f"/player.css?v={version}"],
        "suppress_callback_exceptions": True,  # pages come and go, and so do their controls
        "title": "cnnviz",
        "update_title": None,
    }
    app = Dash("cnnviz_dashboards", **arguments)
    app.layout = shell()
    add_routes(app.server, runs)
    add_router(app, runs)
    return app
