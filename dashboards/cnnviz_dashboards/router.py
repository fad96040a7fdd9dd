"""The router: the address is the state, and says what is on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

import dash_mantine_components as dmc
from dash import ALL, Dash, Input, Output, State, dcc
from dash.exceptions import PreventUpdate

from cnnviz.errors import CnnvizError
from cnnviz_dashboards.controls import SELECT, STRIP
from cnnviz_dashboards.pages import RUN_PAGES
from cnnviz_dashboards.pages import runs as runs_page
from cnnviz_dashboards.shell import navigation

if TYPE_CHECKING:
    from cnnviz_dashboards.folder import RunFolder

_Id = dict[str, str]
_FIRST_PAGE = next(iter(RUN_PAGES))


class Place(NamedTuple):
    """What an address names: a run's page, or the start page where both are None."""

    run: str | None
    page: str | None


def parse(pathname: str | None) -> Place:
    """Return the place that a path names; what it doesn't know leads to the start page."""
    parts = [unquote(part) for part in (pathname or "/").split("/") if part]
    if len(parts) >= 2 and parts[0] == "run":
        page = parts[2] if len(parts) > 2 else _FIRST_PAGE
        return Place(parts[1], page if page in RUN_PAGES else _FIRST_PAGE)
    return Place(None, None)


def add_router(app: Dash, runs: RunFolder) -> None:
    """Add the callbacks; each reads what is chosen, asks a plain function, and puts its answer on the page."""

    @app.callback(
        Output("page", "children"),
        Output("where", "children"),
        Output("timeline", "data-run"),
        Output("footer", "className"),
        Input("url", "pathname"),
        State("url", "search"),
    )
    def go(pathname: str | None, search: str | None) -> tuple[Any, ...]:
        return show(runs, parse(pathname), dict(parse_qsl((search or "").lstrip("?"))))

    @app.callback(
        Output({"kind": "film", "plot": ALL}, "data-film"),
        Output("state", "data-query"),
        Output({"kind": SELECT, "name": ALL}, "data"),
        Output({"kind": SELECT, "name": ALL}, "value"),
        Output({"kind": SELECT, "name": ALL}, "display"),
        Input({"kind": SELECT, "name": ALL}, "value"),
        Input({"kind": STRIP, "name": ALL}, "value"),
        State({"kind": SELECT, "name": ALL}, "id"),
        State({"kind": STRIP, "name": ALL}, "id"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )
    def choose(
        selected: list[str], picked: list[str], selects: list[_Id], strips: list[_Id], pathname: str
    ) -> tuple[Any, ...]:
        names = [identity["name"] for identity in [*selects, *strips]]
        values = {
            name: value for name, value in zip(names, [*selected, *picked], strict=True) if value is not None
        }
        place = parse(pathname)
        if place.run is None or place.page is None:
            raise PreventUpdate
        return tuple(RUN_PAGES[place.page].choose(runs.open(place.run), values, names[: len(selects)]))

    @app.callback(Output("runs", "children"), Input("runs-clock", "n_intervals"), prevent_initial_call=True)
    def renew(_: int) -> Any:
        return runs_page.table(runs)

    @app.callback(
        Output("status", "children"),
        Input("status-clock", "n_intervals"),
        Input("where", "children"),
        State("url", "pathname"),
    )
    def status(_: int, __: Any, pathname: str | None) -> Any:
        return status_badge(runs, parse(pathname))


def show(runs: RunFolder, place: Place, wanted: dict[str, str]) -> tuple[Any, Any, str | None, str]:
    """Return what is on the page at `place`: its content, the navigation, the timeline's run, the footer's class."""
    # No navigation is an empty list: of what None replaces Dash keeps the paths, and stumbles over them.
    if place.run is None or place.page is None:
        return runs_page.layout(runs), [], None, "cd-hidden"
    try:
        run = runs.open(place.run)
        content = RUN_PAGES[place.page].layout(run, wanted)
    except CnnvizError as error:
        return missing(place.run, error), [], None, "cd-hidden"
    return content, navigation(run.name, place.page), f"/api/run/{quote(run.name, safe='')}", ""


def missing(run: str, error: CnnvizError) -> Any:
    """Return the page for what can't be shown, and the way out."""
    return dmc.Alert(
        [dmc.Text(str(error)), dcc.Link("All runs", href="/")],
        title=f"{run} can't be shown",
        color="red",
        maw=760,
    )


def status_badge(runs: RunFolder, place: Place) -> Any:
    """Return the badge of the status that the run at `place` has now."""
    if place.run is None:
        return None
    try:
        return runs_page.badge(runs.open(place.run).status)
    except CnnvizError:
        return None
