"""Controls that several plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz.plots.plot import Choice, Control

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cnnviz.recording.run import Run


def layer_control(layers: Callable[[Run], dict[str, str]]) -> Control:
    """Return the control that chooses among `layers` of a run, which maps their names to their kinds."""

    def choices(run: Run, _: Mapping[str, str]) -> list[Choice]:
        return [Choice(name, f"{name} · {kind}") for name, kind in layers(run).items()]

    return Control("layer", "Layer", choices)


def _images(run: Run, _: Mapping[str, str]) -> list[Choice]:
    names = run.classes
    labels = [int(label) for label in run.samples.labels]
    return [
        Choice(str(i), f"{i} · {names[label] if 0 <= label < len(names) else label}")
        for i, label in enumerate(labels)
    ]


IMAGE = Control("image", "Image", _images, int)
"""Chooses one of the run's samples by number."""
