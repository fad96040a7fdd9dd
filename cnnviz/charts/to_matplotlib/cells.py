"""Mosaics and pictures in matplotlib: each is one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.image import AxesImage
from matplotlib.transforms import Affine2D

from cnnviz.charts import layout
from cnnviz.charts.theme import colour_table
from cnnviz.charts.to_matplotlib.style import GRID, SOFT, Live, bare, families

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from numpy.typing import NDArray

    from cnnviz.charts.chart import Mosaic, Picture
    from cnnviz.charts.theme import Scale


class _CrispImage(AxesImage):
    """An image whose pixels stay sharp, in a tenth of the time that matplotlib's own resampling takes."""

    def make_image(
        self, renderer: RendererBase, magnification: float = 1.0, unsampled: bool = False
    ) -> tuple[NDArray[np.uint8], float, float, Affine2D]:
        """Return the colours (h, w, 4) at each pixel of the paper, and where their lower left corner lies."""
        box = np.array(self.get_window_extent().extents) * magnification
        left, bottom, right, top = np.rint(
            [*np.minimum(box[:2], box[2:]), *np.maximum(box[:2], box[2:])]
        ).astype(int)
        colours = np.asarray(self.get_array()).view(np.uint32)[..., 0]
        # One axis after the other: the second time, whole rows are copied. Matplotlib counts rows from below.
        columns = _nearest(right - left, colours.shape[1])
        rows = _nearest(top - bottom, colours.shape[0])[::-1]
        shown = colours.take(columns, axis=1).take(rows, axis=0).view(np.uint8)
        return (
            shown.reshape(len(rows), len(columns), 4),
            left / magnification,
            bottom / magnification,
            Affine2D(),
        )


def _nearest(count: int, source: int) -> NDArray[np.intp]:
    """Return which of `source` pixels each of `count` pixels shows."""
    return ((np.arange(count) + 0.5) * (source / max(count, 1))).astype(np.intp)


def mosaic(axes: Axes, panel: Mosaic) -> Live:
    """Draw a mosaic as one image, its cells' labels above them and the colour bar at its right."""
    tiles = layout.mosaic_tiles(panel)
    on_paper = layout.mosaic_layout(panel)
    # Crisp pixels; only what is finer than the paper is smoothed, where leaving out pixels would deceive.
    smooth = tiles.zoom == 1 and panel.cells.shape[2] / on_paper.cell[0] > 130
    painted = tiles.paint(panel.cells, panel.scale)
    image = AxesImage(axes, interpolation="auto") if smooth else _CrispImage(axes)
    image.set(data=painted, extent=(-0.5, painted.shape[1] - 0.5, painted.shape[0] - 0.5, -0.5))
    axes.add_image(image)
    axes.set(xlim=(-0.5, painted.shape[1] - 0.5), ylim=(painted.shape[0] - 0.5, -0.5))
    for cell, label in enumerate(on_paper.labels):
        top, left = tiles.corner(cell)
        axes.annotate(
            label, (left - 0.5, top - 0.5), (0, 1.5), textcoords="offset points",
            fontsize=layout.LABEL_POINTS, color=SOFT, va="bottom", ha="left",
        )  # fmt: skip
    bare(axes)
    _colour_bar(axes, panel.scale, on_paper.area)
    return Live((image,), lambda still: image.set_data(tiles.paint(still.cells, still.scale)))


def _colour_bar(axes: Axes, scale: Scale, area: tuple[float, float]) -> None:
    """Draw the colour bar right of a mosaic, as high as the mosaic but no higher than 2.6 inches."""
    width, height = area
    part = min(1.0, 2.6 / height)
    beside = axes.inset_axes((1 + 0.12 / width, 1 - part, 0.13 / width, part))
    colours = ScalarMappable(Normalize(scale.low, scale.high), ListedColormap(colour_table(scale.kind) / 255))
    ticks = layout.scale_ticks(scale) if height > 0.6 else [scale.low, scale.high]
    bar = Colorbar(beside, colours, ticks=ticks)
    bar.ax.set_yticklabels([layout.number(tick) for tick in ticks])
    bar.set_label(scale.unit, fontsize=8.5, color=SOFT)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, labelcolor=SOFT, color=SOFT, length=2, labelfontfamily=families())


def picture(axes: Axes, panel: Picture) -> Live:
    """Draw an image as the network sees it; nothing of it moves."""
    shown = np.clip(np.nan_to_num(panel.pixels), 0.0, 1.0)
    axes.imshow(
        shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest" if shown.shape[0] <= 300 else "auto"
    )
    bare(axes)
    for spine in axes.spines.values():
        spine.set(visible=True, color=GRID)
    return Live((), lambda still: None)
