"""How the tensors of a network and those of a run differ, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_SHOWN = 5


def differences(model: Mapping[str, Sequence[int]], run: Mapping[str, Sequence[int]]) -> list[str]:
    """Return in words where the names and shapes of two states differ, in the model's order; none if nowhere.

    Args:
        model: Names to shapes of the network's tensors.
        run: Names to shapes of those that were recorded.
    """
    names = {**model, **run}
    return [
        _difference(name, model.get(name), run.get(name))
        for name in names
        if _plain(model.get(name)) != _plain(run.get(name))
    ]


def shortened(differences: list[str]) -> str:
    """Return the first of them, and how many more there are."""
    more = len(differences) - _MOST_SHOWN
    return "; ".join(differences[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _difference(name: str, model: Sequence[int] | None, run: Sequence[int] | None) -> str:
    if model is None:
        return f"the model has no {name}"
    if run is None:
        return f"{name} is not in the run"
    return f"{name} is {shape_text(run)}, where the model has {shape_text(model)}"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as errors show it: 4×1×5×5."""
    return "×".join(map(str, shape)) or "a number"


def _plain(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if shape is None else tuple(shape)
