"""Which exceptions are told to the user in one line, and how."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from cnnviz.errors import CnnvizError, DamageWarning, RecordingWarning, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = (RecordingWarning, DamageWarning)
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def explain(error: Exception) -> str | None:
    """Return one line on what went wrong and the way out; None if it is a bug, whose traceback is wanted."""
    if isinstance(error, CnnvizError):
        return " ".join(f"{error}{_way_out(error)}".split())
    if _is_out_of_memory(error):
        return "the memory does not suffice; try a smaller --batch-size, or --device cpu"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    return None


def print_error(message: str) -> None:
    """Print the line on stderr, its first word red where that can be seen."""
    _print("Error:", "red", message)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print our own warnings as one line on stderr, without the place in the code that they come from."""
    with warnings.catch_warnings():
        for category in _OURS:
            warnings.simplefilter("always", category)
        show = warnings.showwarning

        def show_plainly(  # noqa: PLR0913 - as Python calls it
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, _OURS):
                _print("Warning:", "yellow", " ".join(str(message).split()))
            else:
                show(message, category, filename, lineno, file, line)

        warnings.showwarning = show_plainly
        yield


def _print(word: str, colour: str, message: str) -> None:
    colourful = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    if colourful:
        import typer

        word = typer.style(word, fg=colour, bold=True)
    print(word, message, file=sys.stderr)


def leave_pipe() -> None:
    """Let what is still to be flushed to a closed pipe go nowhere, so that Python does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _way_out(error: CnnvizError) -> str:
    """Return what to do about damage that was met in reading a run; "" if it is none, or the error says it itself."""
    if not isinstance(error, RunError) or "cnnviz check" in str(error):
        return ""
    from cnnviz.checking.sqlite import is_passing
    from cnnviz.cli.locating import damaged_part, repair_command

    root = None if is_passing(error) else damaged_part(str(error))
    return "" if root is None else f"; mend it with: {repair_command(root)}"


def _is_out_of_memory(error: Exception) -> bool:
    # torch's own error is a RuntimeError, and so are those of the CPU and of Apple's devices: told by their text.
    if isinstance(error, RuntimeError):
        return any(words in str(error).lower() for words in _MEMORY_WORDS)
    return isinstance(error, MemoryError)
