"""How a run shows itself in a notebook: a short card with a sparkline."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnviz.recording.run import Run

_WIDTH, _HEIGHT = 160, 36


def card_html(run: Run) -> str:
    """Return the card: status, network, steps, last errors, and a sparkline of the validation error."""
    facts = [
        ("network", f"{run.manifest.network}, {run.manifest.parameters:,} parameters"),
        ("data", run.manifest.description.data or "not named"),
        ("snapshots", _span(run)),
        *([("missing", str(run.missing))] if run.missing else []),
        *((name.replace("/", " "), _percent(values[-1])) for name, values in last_errors(run)),
    ]
    rows = "".join(
        f'<div style="opacity:.65">{escape(name)}</div><div>{escape(value)}</div>' for name, value in facts
    )
    detail = f" · {escape(run.detail)}" if run.detail else ""
    return (
        '<div style="display:inline-flex;gap:24px;align-items:center;padding:12px 16px;border:1px solid #8884;'
        'border-radius:8px;font:13px/1.5 system-ui,sans-serif">'
        f'<div><div style="font-weight:600;margin-bottom:4px">{escape(run.name)} '
        f'<span style="font-weight:400;opacity:.65">{escape(run.status)}{detail}</span></div>'
        f'<div style="display:grid;grid-template-columns:auto auto;gap:0 14px">{rows}</div></div>'
        f"{_run_sparkline(run)}</div>"
    )


def last_errors(run: Run) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the recorded error rates, training first, each with all its values, at least one."""
    wanted = ("train/error", "validation/error", "test/error")
    known = run.metrics
    found = [(name, run.metric(name)[1]) for name in wanted if name in known]
    return [(name, values) for name, values in found if len(values)]  # rows may go between the looks


def sparkline_points(values: NDArray[np.float64], width: int, height: int) -> str:
    """Return the points of an SVG polyline through `values`, scaled to fit; empty if fewer than two are finite."""
    places = np.flatnonzero(np.isfinite(values))
    if len(places) < 2:
        return ""
    finite = values[places]
    # One point a pixel is all that can be seen.
    keep = np.unique(np.linspace(0, len(finite) - 1, min(len(finite), width)).astype(int))
    low, span = finite.min(), (finite.max() - finite.min()) or 1.0
    x = places[keep] / max(len(values) - 1, 1) * (width - 4) + 2
    y = height - 2 - (finite[keep] - low) / span * (height - 4)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _run_sparkline(run: Run) -> str:
    curves = [values for name, values in last_errors(run) if name == "validation/error"]
    points = sparkline_points(curves[0], _WIDTH, _HEIGHT) if curves else ""
    if not points:
        return ""
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="validation error over steps">'
        f'<polyline points="{points}" fill="none" stroke="#d55e00" stroke-width="1.5"/></svg>'
    )


def _span(run: Run) -> str:
    steps = run.steps
    return f"{len(steps):,} (steps {steps[0]:,} to {steps[-1]:,})" if len(steps) else "none yet"


def _percent(value: float) -> str:
    return f"{value:.2%}"
