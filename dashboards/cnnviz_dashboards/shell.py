"""What is around every page: the header, the navigation, and the timeline at the bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import dcc, html

from cnnviz_dashboards.attributes import attribute
from cnnviz_dashboards.pages import RUN_PAGES

if TYPE_CHECKING:
    from dash.development.base_component import Component


def shell() -> Component:
    """Return the frame that the router fills."""
    header = dmc.Group(
        [
            dcc.Link("cnnviz", href="/", className="cd-brand"),
            html.Div(id="where", className="cd-where"),
            dmc.ColorSchemeToggle(
                lightIcon="☀",
                darkIcon="☾",
                variant="default",
                size="lg",
                ml="auto",
                **attribute("aria-label", "Light or dark"),
            ),
        ],
        h="100%",
        px="lg",
        gap="lg",
        wrap="nowrap",
    )
    frame = dmc.AppShell(
        [
            dmc.AppShellHeader(header),
            dmc.AppShellMain(html.Div(id="page")),
            # Outside the page, so that going from page to page keeps the step.
            dmc.AppShellFooter(html.Div(id="timeline"), px="lg", id="footer"),
        ],
        header={"height": 56},
        footer={"height": 58},
        padding="lg",
    )
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Interval(id="status-clock", interval=2000),
            frame,
        ],
        defaultColorScheme="auto",
        theme={"primaryColor": "blue", "fontFamily": "system-ui, -apple-system, 'Segoe UI', sans-serif"},
    )


def navigation(run: str, current: str) -> Component:
    """Return the links to a run's pages."""
    here = attribute("aria-current", "page")
    links = [
        html.Span(page.title, className="cd-tab cd-tab-current", **here)
        if page.key == current
        else dcc.Link(page.title, href=f"/run/{quote(run, safe='')}/{page.key}", className="cd-tab")
        for page in RUN_PAGES.values()
    ]
    return html.Nav(
        [html.Span(run, className="cd-run-name"), html.Span(id="status"), *links],
        className="cd-tabs",
        **attribute("aria-label", "Pages of this run"),
    )
