"""What the player asks of the server: a film's layout, its frames, and exact values at one step."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import numpy as np

import cnnviz
from cnnviz.charts.chart import Chart, Film, Mosaic
from cnnviz.charts.pooling import pooled
from cnnviz.charts.to_player import finite_or_none, frames, layout, no_frames
from cnnviz.errors import ConfigError, LayerError, SnapshotError, StepError
from cnnviz.plots.plot import PLOTS, Plot
from cnnviz_dashboards.chunks import Chunk, plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnviz.recording.run import Run

# Together the cells of a mosaic have at most as many pixels as a large window.
_PIXELS = 1_200_000


@dataclass(frozen=True)
class FilmRequest:
    """A plot of a run with the values of its controls, as text."""

    run: Run
    plot: Plot
    chosen: Mapping[str, str]

    @classmethod
    def of(cls, run: Run, plot: str, chosen: Mapping[str, str]) -> FilmRequest:
        """Return the request for the plot of that name, with controls that are not chosen at their defaults.

        Raises:
            UnknownNameError: If there is no such plot.
        """
        if ":" in plot:  # a page's address must not import anything
            raise ConfigError(f"no plot is named {plot!r}; known: {', '.join(PLOTS.names())}")
        found = PLOTS.get(plot)
        known = {control.name for control in found.controls}
        own = {name: value for name, value in chosen.items() if name in known}
        return cls(run, found, found.settle(run, own) | own)

    def draw(self, run: Run) -> Film | Chart:
        """Return the plot of `run`, the request's own or a slice of it, no larger than can be seen."""
        drawn = self.plot.draw(run, **self.plot.arguments(self.chosen))
        return pooled(drawn, _PIXELS) if isinstance(drawn, Film) else drawn

    def address(self, kind: str, **more: str) -> str:
        """Return the path of the route `kind` for this request."""
        path = f"/api/{kind}/{quote(self.run.name, safe='')}/{self.plot.name}"
        return f"{path}?{urlencode({**self.chosen, **more})}" if self.chosen or more else path

    def key(self, chunk: Chunk) -> str:
        """Return what names the frames of `chunk` for ever: snapshots never change."""
        # The recording's id stands for what travels with the snapshots: samples, classes, arguments of the network.
        made_of = (cnnviz.__version__, self.run.manifest.id, self.run[chunk.slice].digests)
        text = repr((*made_of, self.plot.name, sorted(self.chosen.items())))
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def film_layout(request: FilmRequest, after: int = -1) -> dict[str, Any]:
    """Return the film's layout and the addresses of its frames: of all snapshots, or of those after the step `after`.

    The layout is that of a few snapshots; the colour scale widens as frames arrive, up to that of all steps.
    """
    run = request.run[:]
    count = len(run)
    preview = _preview(request, run)
    described = layout(preview) | {"steps": run.steps.tolist(), "timed": True, "chunks": []}
    if isinstance(preview, Film):
        # By step, as snapshots may have been thinned out since the page counted them.
        known = int(np.searchsorted(run.steps, after, side="right"))
        chunks = plan(count, _frame_bytes(preview), known)
        described["chunks"] = [request.address("frames", chunk=str(c), key=request.key(c)) for c in chunks]
    return described


def _preview(request: FilmRequest, run: Run) -> Film | Chart:
    try:
        return request.draw(run[:: max(1, (len(run) - 1) // 2)])
    except (LayerError, StepError) as error:
        if len(run):
            raise
        raise StepError(
            f"{run.name} holds no snapshots yet; they appear here once it has taken one"
        ) from error


def film_frames(request: FilmRequest, chunk: Chunk) -> bytes:
    """Return the frames of a chunk as the player reads them: of what there still is, if some was thinned out."""
    run = request.run
    some = run[chunk.slice] if chunk.start < len(run) else run[-1:]
    try:
        return frames(request.draw(some))
    except SnapshotError as error:  # none of them can be read; those of other chunks may
        return no_frames(error.steps)


def exact_frame(request: FilmRequest, step: int) -> bytes:
    """Return the frame at `step` with exact values.

    Raises:
        StepError: If the run has no such snapshot.
    """
    return frames(request.draw(request.run.at(step).alone()), exact=True)


def run_state(run: Run) -> dict[str, Any]:
    """Return what the timeline shows: the run's status, its steps, and the curve to draw inside."""
    fixed = run[:]
    return {"status": run.status, "steps": fixed.steps.tolist(), "curve": _curve(fixed)}


def _curve(run: Run) -> dict[str, Any] | None:
    known = run.metrics
    wanted = [
        "validation/error",
        "train/error",
        *(name for name in known if name.endswith(("error", "loss"))),
    ]
    for name in wanted:
        if name in known:
            steps, values = run.metric(name)
            return {"name": name, "steps": steps.tolist(), "values": finite_or_none(values)}
    return None


def _frame_bytes(film: Film) -> int:
    """Return the bytes of one frame while it is computed, before it is pooled."""
    cells = [panel.cells[0] for panel in film.panels if isinstance(panel, Mosaic)]
    return int(sum(array.size for array in cells) * np.dtype(np.float32).itemsize) or 1024
