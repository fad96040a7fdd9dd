"""Charts and films as files, by suffix; a file is there whole or not at all."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from cnnviz.charts.chart import Chart, Film

_STILLS = (".png", ".svg", ".pdf", ".html")
_FILMS = (".gif", ".mp4", *_STILLS)


def save_chart(chart: Chart, path: str | PathLike[str]) -> None:
    """Write a chart to a file: .png, .svg and .pdf for paper, .html to explore.

    Args:
        chart: What is shown.
        path: Where to write; the folder has to exist.

    Raises:
        ConfigError: If the suffix is none of these, or the folder does not exist.
    """
    path = _checked(path, _STILLS, "a chart")
    with _whole(path) as unfinished:
        if path.suffix.lower() == ".html":
            _write_page(chart, unfinished)
        else:
            from cnnviz.charts.to_matplotlib import save

            save(chart, unfinished, path.suffix.lower()[1:])


def save_film(
    film: Film, path: str | PathLike[str], *, frames: int = 200, seconds: float | None = None
) -> None:
    """Write a film to a file: .gif and .mp4 move, .html is the player, .png, .svg and .pdf show the last step.

    Args:
        film: What is shown.
        path: Where to write; the folder has to exist.
        frames: How many steps a .gif or .mp4 shows at most, evenly chosen, the first and last among them.
        seconds: How long a .gif or .mp4 plays before its last frame rests for a second; by default 20 frames a
            second, and at least 2 seconds.

    Raises:
        ConfigError: If the suffix is none of these, the folder does not exist, the film has no steps, or `frames`
            or `seconds` is not positive.
    """
    from cnnviz.charts.animate import timing, write_gif, write_mp4

    path = _checked(path, _FILMS, "a film")
    if not len(film):
        raise ConfigError(f"the film {film.title!r} has no steps yet, so there is nothing to save")
    shown = timing(len(film), frames, seconds)
    suffix = path.suffix.lower()
    if suffix in (".png", ".svg", ".pdf"):
        save_chart(film.frame(-1), path)
        return
    with _whole(path) as unfinished:
        if suffix == ".html":
            _write_page(film, unfinished)
        else:
            (write_gif if suffix == ".gif" else write_mp4)(film, unfinished, shown)


def _write_page(drawn: Chart | Film, path: Path) -> None:
    from cnnviz.charts.to_player import page

    path.write_text(page(drawn), encoding="utf-8")


def check_place(path: str | PathLike[str], *, still: bool) -> None:
    """Raise now what saving a chart (`still`) or a film there would raise, before anything is computed.

    Raises:
        ConfigError: If the suffix is none that can be saved, or the folder does not exist.
    """
    _checked(path, _STILLS if still else _FILMS, "a chart" if still else "a film")


def _checked(path: str | PathLike[str], suffixes: tuple[str, ...], what: str) -> Path:
    """Return the path if something can be written there under one of the suffixes."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        ending = f"as {path.suffix}" if path.suffix else "without a suffix"
        raise ConfigError(f"{what} cannot be saved {ending} ({path}); it can be as {', '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot save {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise ConfigError(f"cannot save {path}: it is a folder")
    return path


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give another name beside `path` to write to; rename it when all is written, delete it if that fails."""
    unfinished = path.with_name(f".{secrets.token_hex(8)}{path.suffix.lower()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
