"""A page of a run that shows plots: their controls above, a film for each below, driven by the timeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode

import dash_mantine_components as dmc
from dash import html

from cnnviz.plots.plot import PLOTS, Control, settle
from cnnviz_dashboards.attributes import attribute
from cnnviz_dashboards.controls import component, display, options
from cnnviz_dashboards.films import FilmRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dash.development.base_component import Component

    from cnnviz.recording.run import Run


class Choice(NamedTuple):
    """What a page shows once its controls are set.

    Attributes:
        films: The addresses of its films.
        query: Its state as the address holds it.
        options: What each select offers now.
        values: What each select is set to.
        displays: How each select is displayed, if at all.
    """

    films: list[str]
    query: str
    options: list[list[dict[str, str]]]
    values: list[str | None]
    displays: list[str]


@dataclass(frozen=True)
class PlotPage:
    """A page of one run.

    Attributes:
        key: Its place in the address, /run/<name>/<key>.
        title: Its name in the navigation.
        about: A sentence or two for who sees it first.
        plots: The names of the plots on it.
    """

    key: str
    title: str
    about: str
    plots: tuple[str, ...]

    @property
    def controls(self) -> list[Control]:
        """The controls of all plots on the page, each once."""
        found = {control.name: control for name in self.plots for control in PLOTS.get(name).controls}
        return list(found.values())

    def settle(self, run: Run, wanted: Mapping[str, str]) -> dict[str, str]:
        """Return a value for each control: the wanted one where it can be chosen, else the default."""
        return settle(self.controls, run, wanted)

    def films(self, run: Run, chosen: Mapping[str, str]) -> list[str]:
        """Return the addresses of the page's films."""
        return [FilmRequest.of(run, plot, chosen).address("film") for plot in self.plots]

    def layout(self, run: Run, wanted: Mapping[str, str]) -> Component:
        """Return the page of `run`, its controls as `wanted` where they can be."""
        chosen = self.settle(run, wanted)
        controls = [component(control, run, chosen) for control in self.controls]
        films = [
            html.Div(
                id={"kind": "film", "plot": plot},
                className=f"cd-film cd-film-{plot}",
                **attribute("data-film", address),
            )
            for plot, address in zip(self.plots, self.films(run, chosen), strict=True)
        ]
        return html.Div(
            [
                html.H1(self.title, className="cd-heading"),
                dmc.Text(self.about, c="dimmed", size="sm", maw=760),
                *_missing(run),
                html.Div(controls, className="cd-controls"),
                html.Div(films, className="cd-films"),
                html.Div(
                    id="state",
                    hidden=True,
                    **attribute("data-page", f"/run/{quote(run.name, safe='')}/{self.key}"),
                    **attribute("data-query", urlencode(chosen)),
                ),
            ],
            className=f"cd-page cd-page-{self.key}",
        )

    def choose(self, run: Run, values: Mapping[str, str], selects: Sequence[str]) -> Choice:
        """Return what changes when a control does.

        Args:
            run: The run.
            values: The controls' values; those that can't be chosen any more fall back to the default.
            selects: The names of the controls that are selects, whose options may depend on the others.
        """
        chosen = self.settle(run, values)
        by_name = {control.name: control for control in self.controls}
        choices = [by_name[name].offered(run, chosen) for name in selects]
        return Choice(
            films=self.films(run, chosen),
            query=urlencode(chosen),
            options=[options(offered) for offered in choices],
            values=[chosen.get(name) for name in selects],
            displays=[display(offered) for offered in choices],
        )


def _missing(run: Run) -> list[Component]:
    """Return a note on the snapshots that could not be written, where there are such."""
    text = str(run.missing)
    return [dmc.Alert(text, title="Snapshots are missing", color="orange", mt="sm")] if text else []
