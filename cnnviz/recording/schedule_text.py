"""Schedules as text: `parse_schedule(str(schedule)) == schedule`, and nothing that is said is executed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ConfigError
from cnnviz.recording.schedule import Schedule, at, either, epochs, every, log_spaced, never, within
from cnnviz.recording.sizes import shortened

if TYPE_CHECKING:
    from collections.abc import Callable

_KNOWN = "every(n), at(step, ...), log_spaced(per_decade), epochs(n), within('500 MB', schedule) and never, joined by |"


def parse_schedule(text: str) -> Schedule:
    """Return the schedule that `text` says, such as "every(10) | at(1, 2, 3)"; nothing in it is executed.

    Raises:
        ConfigError: If it says none; the message tells what can be said.
    """
    try:
        return _said(ast.parse(text.strip(), mode="eval").body)
    except ConfigError as error:
        raise ConfigError(f"{shortened(text)} is no schedule: {error}. There are {_KNOWN}") from error
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{shortened(text)} is no schedule. There are {_KNOWN}") from error


_WORDS: dict[str, Callable[..., Schedule]] = {
    word.__name__: word for word in (every, at, log_spaced, epochs, within)
}


def _said(node: ast.expr) -> Schedule:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return either((_said(node.left), _said(node.right)))
    if isinstance(node, ast.Name) and node.id == "never":
        return never
    if isinstance(node, ast.Name) and node.id in _WORDS:
        raise ConfigError(f"{node.id} needs brackets, as in {node.id}(...)")
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _WORDS):
        raise ConfigError(f"{shortened(ast.unparse(node), quote=False)} is not known")
    arguments = [_argument(value) for value in node.args]
    named = {keyword.arg or "**": _argument(keyword.value) for keyword in node.keywords}
    try:
        if len(named) < len(node.keywords):
            raise TypeError("an argument is given twice")
        return _WORDS[node.func.id](*arguments, **named)
    except TypeError as error:
        raise ConfigError(f"{node.func.id} doesn't take these arguments") from error


def _argument(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_argument(item) for item in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        raise ConfigError(f"{shortened(ast.unparse(node), quote=False)} is no whole number of 0 or more")
    return _said(node)
