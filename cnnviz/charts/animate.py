"""Films as .gif and .mp4: which steps are shown, how long, and how they are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnviz.charts.palette import UNCHANGED, Palette
from cnnviz.charts.to_matplotlib import Animator
from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from cnnviz.charts.chart import Film

_RATE = 20  # frames a second, unless told otherwise
_SHORTEST = 2.0  # seconds
_FASTEST = (
    50  # frames a second that viewers of GIF can show: its clock ticks in hundredths, and they want two
)
_REST = 1.0  # seconds that the last frame stays longer
_GIF_DPI, _MP4_DPI = 100, 130


@dataclass(frozen=True)
class Timing:
    """Which steps of a film are shown and how long it plays.

    Attributes:
        indices: Positions of the steps, rising; the first and last of the film among them.
        seconds: How long the film plays; the last frame stays a second longer.
    """

    indices: tuple[int, ...]
    seconds: float


def timing(steps: int, frames: int, seconds: float | None) -> Timing:
    """Return how a film of some steps is shown.

    Args:
        steps: How many steps the film has, at least one.
        frames: How many are shown at most; fewer are if they would be shorter than 1/50 second.
        seconds: How long the film plays; None is 20 frames a second, and at least 2 seconds.

    Raises:
        ConfigError: If `frames` is below 1 or `seconds` not above 0.
    """
    if frames < 1:
        raise ConfigError(f"a film needs at least 1 frame, not {frames}")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ConfigError(f"a film plays for more than 0 seconds, not {seconds}")
    count = min(steps, frames)
    if seconds is None:
        seconds = max(count / _RATE, _SHORTEST)
    count = max(1, min(count, int(seconds * _FASTEST)))
    # A single frame is the last step, where the network is trained.
    chosen = np.rint(np.linspace(0, steps - 1, count)).astype(int) if count > 1 else np.array([steps - 1])
    return Timing(tuple(int(i) for i in chosen), seconds)


def write_gif(film: Film, path: Path, shown: Timing) -> None:
    """Write a film as an animated GIF that plays for ever, in one palette for all frames.

    Args:
        film: What is shown.
        path: Where to write, whatever its suffix.
        shown: Which steps, and how long.
    """
    few = sorted({shown.indices[round(i)] for i in np.linspace(0, len(shown.indices) - 1, 6)})
    palette = Palette.of(_frames(film, Timing(tuple(few), shown.seconds), _GIF_DPI))
    images = _changes(_frames(film, shown, _GIF_DPI), palette)
    # In hundredths of a second, rounded so that errors don't add up.
    ends = np.rint(np.linspace(0, 100 * shown.seconds, len(shown.indices) + 1)).astype(int)
    durations = [int(d) * 10 for d in np.diff(ends)]
    durations[-1] += round(1000 * _REST)
    next(images).save(
        path, format="GIF", save_all=True, append_images=images, duration=durations, loop=0, optimize=False,
        transparency=UNCHANGED, disposal=1,
    )  # fmt: skip


def write_mp4(film: Film, path: Path, shown: Timing) -> None:
    """Write a film as H.264 video, which every browser plays, with the ffmpeg that imageio brings.

    Args:
        film: What is shown.
        path: Where to write; its suffix has to be .mp4.
        shown: Which steps, and how long.
    """
    import imageio_ffmpeg

    animator = Animator(film.frame(shown.indices[0]), _MP4_DPI)
    # Players want a usual rate: what stays longer is sent again.
    rate = len(shown.indices) / shown.seconds
    again = int(np.ceil(_RATE / rate))
    rate *= again
    writer = imageio_ffmpeg.write_frames(
        str(path), animator.size, pix_fmt_in="rgba", pix_fmt_out="yuv420p", fps=rate, codec="libx264",
        quality=None, macro_block_size=2,
        output_params=["-crf", "18", "-preset", "veryfast", "-movflags", "+faststart"],
    )  # fmt: skip
    writer.send(None)
    try:
        for index in shown.indices:
            pixels = animator.pixels(film.frame(index))
            for _ in range(again):
                writer.send(pixels)
        for _ in range(round(rate * _REST)):
            writer.send(pixels)
    finally:
        writer.close()


def _frames(film: Film, shown: Timing, dpi: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the film's frames (h, w, 4); each is overwritten by the next."""
    animator = Animator(film.frame(shown.indices[0]), dpi)
    for index in shown.indices:
        yield animator.pixels(film.frame(index))


def _changes(frames: Iterable[NDArray[np.uint8]], palette: Palette) -> Iterator[Image.Image]:
    """Yield the frames in the palette, only with what changes from one to the next: it is packed far smaller."""
    from PIL import Image

    before = None
    for frame in frames:
        # Not dithered: that noise would flicker.
        positions = palette.apply(frame)
        changes = (
            positions if before is None else np.where(positions == before, np.uint8(UNCHANGED), positions)
        )
        before = positions
        image = Image.fromarray(changes)
        image.putpalette(palette.colours.tobytes())
        yield image
