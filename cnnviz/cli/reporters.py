"""How a training shows where it stands: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from cnnviz.cli.formats import duration, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType
    from rich.live import Live

    from cnnviz.training.progress import Progress

# As often as an eye can use, and seldom enough that the training is not slowed.
_BAR_SECONDS = 0.2
_LINE_SECONDS = 2.0
_BAR_WIDTH = 100


class Reporter(Protocol):
    """Is told where a training stands."""

    def __call__(self, progress: Progress) -> None:
        """Show it."""


def make_reporter(*, quiet: bool) -> AbstractContextManager[Reporter]:
    """Return what shows the training on stderr, as a context manager: a bar, plain lines, or nothing."""
    if quiet:
        return nullcontext(_be_quiet)
    from rich.console import Console

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        return Bar(console)
    return nullcontext(Lines(lambda line: print(line, file=sys.stderr, flush=True)))


class Lines:
    """Writes a line for a record, at most one every two seconds, and one for the last."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        """Write a line if one is due."""
        now = time.monotonic()
        if progress.recorded and (now >= self._next or progress.step == progress.steps):
            self._next = now + _LINE_SECONDS
            left = duration(progress.seconds_left)
            self._write(
                f"epoch {progress.epoch}/{progress.epochs}  step {progress.step}/{progress.steps}  "
                f"{'  '.join(_measures(progress))}  {left} left"
            )


class Bar(AbstractContextManager["Bar"]):
    """Two lines that stay in place: how far, and how well."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._next = 0.0

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Draw it anew if the last drawing is old enough."""
        now = time.monotonic()
        if now < self._next and progress.step != progress.steps:
            return
        self._next = now + _BAR_SECONDS
        self._started().update(self._drawn(progress), refresh=True)

    def _started(self) -> Live:
        # Not before there is something to show: a download has a bar of its own.
        if self._live is None:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self._live

    def _drawn(self, progress: Progress) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width = min(self._console.width, _BAR_WIDTH)
        line = Table.grid(expand=True, padding=(0, 1))
        line.width = width
        for ratio in (None, 1, None):
            line.add_column(ratio=ratio, no_wrap=True)
        done = Text.assemble(("epoch ", "dim"), (f"{progress.epoch}/{progress.epochs}", "bold"))
        left = Text.assemble(
            ("step ", "dim"),
            f"{progress.step:,}/{progress.steps:,}",
            ("  left ", "dim"),
            duration(progress.seconds_left),
        )
        line.add_row(done, ProgressBar(total=progress.steps, completed=progress.step), left)
        return Group(line, Text("  ".join(_measures(progress)), no_wrap=True, overflow="ellipsis"))


def _measures(progress: Progress) -> list[str]:
    loss = f"{progress.loss:.4f}" if progress.loss < 1000 else f"{progress.loss:.3g}"
    return [
        f"loss {loss}",
        f"training error {percent(progress.train_error)}",
        f"validation error {percent(progress.validation_error)}",
        f"{progress.images_per_second:,.0f} images/s",
    ]


def _be_quiet(progress: Progress) -> None:
    pass
