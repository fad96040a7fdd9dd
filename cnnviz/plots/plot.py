"""What a plot is: a named function from a run to a film, with the controls that choose its arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnviz.charts.chart import Chart, Film
from cnnviz.errors import ConfigError, DamageWarning
from cnnviz.plots.readable import from_what_can_be_read
from cnnviz.recording.run import Run
from cnnviz.recording.snapshot import Snapshot
from cnnviz.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

PlotFunction = Callable[..., Film | Chart]


@dataclass(frozen=True)
class Choice:
    """One value of a control, and how it is called."""

    value: str
    label: str


@dataclass(frozen=True)
class Control:
    """An argument of a plot that a user chooses.

    Attributes:
        name: The argument's name.
        label: How a page calls it.
        choices: Gives what can be chosen for a run, once the controls before it are set; the first is the default.
        parse: Makes the argument of a chosen value's text.
    """

    name: str
    label: str
    choices: Callable[[Run, Mapping[str, str]], Sequence[Choice]]
    parse: Callable[[str], Any] = str

    def offered(self, run: Run, chosen: Mapping[str, str]) -> Sequence[Choice]:
        """Return what can be chosen, also where some snapshots of the run are damaged."""
        return from_what_can_be_read(run, lambda some: self.choices(some, chosen))[0]

    def settle(self, run: Run, chosen: Mapping[str, str]) -> str | None:
        """Return the chosen value if it can be chosen, else the default; None if nothing can."""
        values = [choice.value for choice in self.offered(run, chosen)]
        wanted = chosen.get(self.name)
        return wanted if wanted in values else next(iter(values), None)


@dataclass(frozen=True)
class Plot:
    """A named plot. Of a Run it is a Film, of a Snapshot a Chart: the still at that step.

    Attributes:
        name: What it is called.
        function: Draws the film of a run that no longer grows.
        controls: The arguments that a user chooses, in order.
    """

    name: str
    function: PlotFunction
    controls: tuple[Control, ...] = ()

    def __call__(self, source: Run | Snapshot, **arguments: Any) -> Any:
        """Draw `source` with the plot's own arguments; see its function. DamageWarning tells what is left out."""
        drawn = self.draw(source, **arguments)
        if isinstance(source, Run) and isinstance(drawn, Film) and drawn.left_out:
            _warn(source, drawn.left_out)
        return drawn

    def draw(self, source: Run | Snapshot, **arguments: Any) -> Film | Chart:
        """Draw `source` as a call does, but without a word on what is left out: the film holds that, too."""
        if isinstance(source, Snapshot):
            drawn = self.function(source.alone(), **arguments)
            if isinstance(drawn, Film):
                return drawn.frame(0)
            panels = tuple(panel.at(0, source.step) for panel in drawn.panels)
            return Chart(drawn.title, panels, source.step)
        if isinstance(source, Run):
            film, damaged = from_what_can_be_read(source[:], lambda run: self.function(run, **arguments))
            return replace(film, left_out=damaged) if damaged and isinstance(film, Film) else film
        raise ConfigError(f"{self.name} draws a Run or a Snapshot, not {type(source).__name__}")

    @property
    def __doc__(self) -> str | None:  # type: ignore[override] # help() shows the function's
        return self.function.__doc__

    def settle(self, run: Run, chosen: Mapping[str, str]) -> dict[str, str]:
        """Return a value for each control: the chosen one where it can be chosen, else the default."""
        return settle(self.controls, run, chosen)

    def arguments(self, settled: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments that settled values stand for.

        Raises:
            ConfigError: If a value can't be understood.
        """
        parsers = {control.name: control.parse for control in self.controls}
        arguments = {}
        for name, value in settled.items():
            if name not in parsers:
                raise ConfigError(
                    f"{self.name} has no argument {name!r}; it has {', '.join(parsers) or 'none'}"
                )
            try:
                arguments[name] = parsers[name](value)
            except ValueError as error:
                raise ConfigError(f"{self.name}: {value!r} is no {name}: {error}") from error
        return arguments


PLOTS: Registry[Plot] = Registry("plot", "cnnviz.plots")
"""All plots by name."""


def plot(name: str, *, controls: Sequence[Control] = ()) -> Callable[[PlotFunction], Plot]:
    """Return a decorator that makes a plot of a function and registers it as `name`."""

    def make(function: PlotFunction) -> Plot:
        return PLOTS.register(name)(Plot(name, function, tuple(controls)))

    return make


def settle(controls: Sequence[Control], run: Run, chosen: Mapping[str, str]) -> dict[str, str]:
    """Return a value for each control, in order: the chosen one where it can be chosen, else the default."""
    settled: dict[str, str] = {}
    for control in controls:
        own = {control.name: chosen[control.name]} if control.name in chosen else {}
        value = control.settle(run, settled | own)
        if value is not None:
            settled[control.name] = value
    return settled


def _warn(run: Run, damaged: Sequence[int]) -> None:
    shown = ", ".join(map(str, damaged[:5])) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
    which = f"snapshots at steps {shown} are" if len(damaged) > 1 else f"snapshot at step {shown} is"
    warnings.warn(
        f"the {which} left out, as damaged: cnnviz check {run.location} says more",
        DamageWarning,
        stacklevel=3,
    )
