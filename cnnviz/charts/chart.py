"""Charts and films: what is to be drawn, as plain data without a drawing library.

A Chart is a still: a title over panels. A Film is the same picture at every step of a run, with a leading step
axis on the array that changes and one colour scale for all steps. The set of panels is closed: a new kind is a
class here and one function in each renderer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cnnviz.errors import ConfigError, StepError

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from cnnviz.charts.theme import Scale


@dataclass(frozen=True, eq=False)
class Panel:
    """One part of a chart. `step_field` names the array that gains a leading step axis in a film, if any."""

    step_field: ClassVar[str | None] = None

    title: str

    def at(self, index: int, step: int) -> Self:
        """Return the still of a film's panel at the index-th step."""
        if self.step_field is None:
            return self
        return replace(self, **{self.step_field: getattr(self, self.step_field)[index]})

    def as_film(self) -> Self:
        """Return a still's panel as that of a film of one step."""
        if self.step_field is None:
            return self
        return replace(self, **{self.step_field: getattr(self, self.step_field)[None]})


@dataclass(frozen=True, eq=False)
class Mosaic(Panel):
    """A grid of small pictures on one colour scale: filters, feature maps.

    Attributes:
        cells: Values, (n, h, w); in a film (T, n, h, w).
        labels: The name of each of the n cells.
        scale: The colour scale of all cells at all steps.
        columns: Cells in a row; None lets `grid` choose.
    """

    step_field: ClassVar[str | None] = "cells"

    cells: NDArray[np.floating]
    labels: tuple[str, ...]
    scale: Scale
    columns: int | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns: the chosen columns, or those near three wide by two high that leave fewest gaps."""
        count, height, width = self.cells.shape[-3:]
        if self.columns:
            return -(-count // self.columns), self.columns
        ideal = (1.5 * count * height / width) ** 0.5
        candidates = range(
            max(1, min(count, round(ideal * 0.75))), max(1, min(count, round(ideal * 1.5))) + 1
        )
        columns = min(candidates, key=lambda c: (-(-count // c) * c - count, abs(c - ideal)))
        return -(-count // columns), columns


@dataclass(frozen=True, eq=False)
class Picture(Panel):
    """An image as the network sees it; the same at every step.

    Attributes:
        pixels: Gray (h, w) or colour (h, w, 3), in [0, 1].
    """

    pixels: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Bars(Panel):
    """One bar a label: class probabilities.

    Attributes:
        values: (n,); in a film (T, n).
        labels: The name of each of the n bars.
        unit: What the values are ("probability").
        limits: The ends of the axis, the same at every step.
        truth: The index of the bar that is the right answer, if there is one.
    """

    step_field: ClassVar[str | None] = "values"

    values: NDArray[np.floating]
    labels: tuple[str, ...]
    unit: str
    limits: tuple[float, float] = (0.0, 1.0)
    truth: int | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """A named line: `values` (n,) at `steps` (n,)."""

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curves(Panel):
    """Lines over steps, whole at every step of a film, which moves the cursor.

    Attributes:
        curves: The lines, in the order of the legend.
        unit: What the values are ("error rate").
        cursor: The step to mark, if any.
        percent: Whether values are fractions, to be labelled in per cent.
    """

    curves: tuple[Curve, ...]
    unit: str
    cursor: int | None = None
    percent: bool = False

    def at(self, index: int, step: int) -> Self:
        """Return the same curves with the cursor at `step`."""
        return replace(self, cursor=step)


@dataclass(frozen=True, eq=False)
class Chart:
    """A still: panels under one title. It shows itself in a notebook.

    Attributes:
        title: What is shown.
        panels: The parts, in reading order.
        step: The step of the run that is shown, if the chart belongs to one step.
    """

    title: str
    panels: tuple[Panel, ...]
    step: int | None = None

    def matplotlib(self) -> Figure:
        """Return the chart as a matplotlib figure."""
        from cnnviz.charts.to_matplotlib import figure

        return figure(self)

    def plotly(self) -> Any:
        """Return the chart as a plotly `Figure`."""
        from cnnviz.charts.to_plotly import figure

        return figure(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the chart to a file: .png, .svg, .pdf or .html, by suffix.

        Raises:
            ConfigError: If the suffix is none of these.
        """
        from cnnviz.charts.to_file import save_chart

        save_chart(self, path)

    def _repr_html_(self) -> str:
        from cnnviz.charts.to_player import notebook_html

        return notebook_html(self)


@dataclass(frozen=True, eq=False)
class Film:
    """The same picture at every snapshot of a run, on one locked colour scale. It shows itself as a player.

    Attributes:
        title: What is shown.
        panels: The parts, their step arrays with a leading axis of length T.
        steps: The steps (T,), rising.
        left_out: The steps of snapshots that can't be read, as their files are damaged.
    """

    title: str
    panels: tuple[Panel, ...]
    steps: NDArray[np.int64]
    left_out: tuple[int, ...] = ()
    _index: dict[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for panel in self.panels:
            if panel.step_field is not None and len(getattr(panel, panel.step_field)) != len(self.steps):
                raise ConfigError(
                    f"panel {panel.title!r} has not one frame for each of the {len(self.steps)} steps"
                )
        object.__setattr__(self, "_index", {int(step): i for i, step in enumerate(self.steps)})

    def __len__(self) -> int:
        return len(self.steps)

    def at(self, step: int) -> Chart:
        """Return the still at `step`.

        Raises:
            StepError: If the film has no such step; the message names the nearest ones.
        """
        if step not in self._index:
            raise StepError.missing("the film", step, self.steps)
        return self.frame(self._index[step])

    def frame(self, index: int) -> Chart:
        """Return the still at the index-th step; -1 is the last."""
        step = int(self.steps[index])
        return Chart(self.title, tuple(panel.at(index, step) for panel in self.panels), step)

    def save(self, path: str | PathLike[str], *, frames: int = 200, seconds: float | None = None) -> None:
        """Write the film to a file: .gif, .mp4, .html (the player), or its last step: .png, .svg, .pdf.

        Args:
            path: Where to write.
            frames: How many steps a .gif or .mp4 shows at most, evenly chosen, the first and last among them.
            seconds: How long a .gif or .mp4 plays; by default 20 frames a second, and at least 2 seconds.

        Raises:
            ConfigError: If the suffix is none of these.
        """
        from cnnviz.charts.to_file import save_film

        save_film(self, path, frames=frames, seconds=seconds)

    def _repr_html_(self) -> str:
        from cnnviz.charts.to_player import notebook_html

        return notebook_html(self)
