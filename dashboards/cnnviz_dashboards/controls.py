"""A plot's controls as components of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import html

from cnnviz_dashboards.attributes import attribute
from cnnviz_dashboards.routes import THUMBNAIL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dash.development.base_component import Component

    from cnnviz.plots.plot import Choice, Control
    from cnnviz.recording.run import Run


SELECT, STRIP = "select", "strip"
"""The kinds of components that show controls; ids are {"kind": ..., "name": the control's}."""


def component(control: Control, run: Run, chosen: Mapping[str, str]) -> Component:
    """Return the component that shows `control` at its chosen value."""
    choices = control.offered(run, chosen)
    value = chosen.get(control.name)
    if control.name == "image":
        return _strip(control, run, choices, value)
    return dmc.Select(
        id={"kind": SELECT, "name": control.name},
        label=control.label,
        data=options(choices),
        value=value,
        allowDeselect=False,
        searchable=len(choices) > 12,
        w=230,
        size="sm",
        display=display(choices),
    )


def display(choices: Sequence[Choice]) -> str:
    """Return the display style of a select: there is nothing to choose from one choice."""
    return "block" if len(choices) > 1 else "none"


def options(choices: Sequence[Choice]) -> list[dict[str, str]]:
    """Return choices as a select takes them."""
    return [{"value": choice.value, "label": choice.label} for choice in choices]


def _strip(control: Control, run: Run, choices: Sequence[Choice], value: str | None) -> Component:
    """Return the run's samples as a strip of pictures to choose from."""
    address = f"/api/samples/{quote(run.name, safe='')}.png"
    pictures = [
        dmc.RadioCard(
            html.Span(
                className="cd-thumbnail",
                style={
                    "backgroundImage": f"url('{address}')",
                    "backgroundPosition": f"-{int(choice.value) * THUMBNAIL}px 0",
                },
            ),
            value=choice.value,
            unstyled=True,
            className="cd-sample",
            **attribute("aria-label", f"sample {choice.label}"),
        )
        for choice in choices
    ]
    return dmc.RadioGroup(
        html.Div(pictures, className="cd-strip"),
        id={"kind": STRIP, "name": control.name},
        label=control.label,
        value=value,
        className="cd-strip-box",
    )
