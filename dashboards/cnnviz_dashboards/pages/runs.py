"""The start page: all runs under the root."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import dcc, html

from cnnviz.errors import CnnvizError
from cnnviz.recording.card import last_errors, sparkline_points
from cnnviz.recording.run import Run, open_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from dash.development.base_component import Component
    from numpy.typing import NDArray

    from cnnviz_dashboards.folder import RunFolder

STATUS_COLOURS = {
    "running": "blue",
    "finished": "teal",
    "stopped": "yellow",
    "interrupted": "orange",
    "diverged": "red",
    "failed": "red",
    "damaged": "red",
    "incomplete": "orange",
}
_HEADS = ("Run", "Status", "Network", "Data", "Snapshots", "Training", "Validation", "Test", "", "Begun")
_ERRORS = ("train/error", "validation/error", "test/error")


def layout(runs: RunFolder) -> Component:
    """Return the page; its table is renewed every two seconds."""
    return html.Div(
        [
            html.H1("Runs", className="cd-heading"),
            html.Div(table(runs), id="runs"),
            dcc.Interval(id="runs-clock", interval=2000),
        ],
        className="cd-page",
    )


def table(runs: RunFolder) -> Component:
    """Return the table of all runs, the newest first, or what to do if there are none."""
    try:
        paths = runs.paths()
    except CnnvizError as error:
        return dmc.Alert(str(error), title="There are no runs to show", color="yellow")
    if not paths:
        return dmc.Alert(
            ["Train a network first: ", dmc.Code("cnnviz train --data mnist-mini --epochs 3")],
            title=f"There are no runs in {runs.root} yet",
            color="blue",
        )
    rows = [row for _, row in sorted(map(_dated_row, paths), key=lambda dated: dated[0], reverse=True)]
    head = dmc.TableThead(dmc.TableTr([dmc.TableTh(name) for name in _HEADS]))
    body = dmc.Table([head, dmc.TableTbody(rows)], highlightOnHover=True, verticalSpacing="sm")
    return dmc.TableScrollContainer(body, minWidth=900)


def _dated_row(path: Path) -> tuple[str, Component]:
    """Return when the run began and its row; what is damaged has no date, so that it comes last."""
    try:
        run = open_run(path)
        return run.manifest.created, _row(run)
    except CnnvizError as error:
        return "", _broken(path, str(error))


def _row(run: Run) -> Component:
    errors = dict(last_errors(run))
    cells = [
        dcc.Link(run.name, href=f"/run/{quote(run.name, safe='')}/errors", className="cd-run-link"),
        _status(run),
        run.manifest.network,
        run.manifest.description.data or "–",
        f"{len(run):,}",
        *(f"{errors[name][-1]:.2%}" if name in errors else "–" for name in _ERRORS),
        _sparkline(errors),
        _when(run.manifest.created),
    ]
    return dmc.TableTr([dmc.TableTd(cell) for cell in cells])


def _status(run: Run) -> Component:
    """Return the status as a badge, and a second one where snapshots are missing, which says why."""
    missing = str(run.missing)
    if not missing:
        return badge(run.status)
    return html.Span([badge(run.status), " ", badge("incomplete")], title=missing)


def badge(status: str) -> Component:
    """Return a status as a badge."""
    return dmc.Badge(status, color=STATUS_COLOURS.get(status, "gray"), variant="light", className="cd-badge")


def _broken(path: Path, problem: str) -> Component:
    cells = [dmc.TableTd(path.name), dmc.TableTd(badge("damaged"))]
    return dmc.TableTr([*cells, dmc.TableTd(problem, tableProps={"colSpan": len(_HEADS) - 2})])


def _sparkline(errors: Mapping[str, NDArray[np.float64]]) -> Component | str:
    values = errors.get("validation/error")
    points = sparkline_points(values, 110, 26) if values is not None else ""
    if not points:
        return ""
    line = f"<polyline points='{points}' fill='none' stroke='#d55e00' stroke-width='1.5'/>"
    drawing = f"<svg xmlns='http://www.w3.org/2000/svg' width='110' height='26'>{line}</svg>"
    return html.Img(src=f"data:image/svg+xml,{quote(drawing)}", alt="validation error over steps")


def _when(created: str) -> str:
    return datetime.fromisoformat(created).astimezone().strftime("%Y-%m-%d %H:%M")
