"""Calling what users name as `package.module:attribute`, so that its errors are told as theirs."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cnnviz.errors import CnnvizError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


def call_own(name: str, call: Callable[[], Result], error: type[CnnvizError]) -> Result:
    """Return what `call` returns, which runs a user's code.

    Args:
        name: How the user named it.
        call: Calls it.
        error: What to raise where it fails; the message tells what was raised, and at which line of whose file.

    Raises:
        CnnvizError: If it fails.
    """
    try:
        return call()
    except CnnvizError:
        raise
    except Exception as problem:
        raise error(f"{name} failed: {type(problem).__name__}: {problem}{_place(problem)}") from problem


def _place(problem: Exception) -> str:
    """Return the innermost line of code that is neither of Python, nor of a library, nor ours."""
    libraries = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent)
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        file = Path(frame.filename).absolute()
        if file.is_file() and not any(file.is_relative_to(folder) for folder in libraries):
            return f" ({file.name}, line {frame.lineno})"
    return ""
