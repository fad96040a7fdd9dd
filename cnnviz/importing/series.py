"""The checkpoints of one network in the order of their steps, and the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from cnnviz.errors import ConfigError
from cnnviz.importing.network import find_network, given_network
from cnnviz.importing.states import States
from cnnviz.importing.steps import find_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnviz.data.split import Data
    from cnnviz.importing.checkpoint import Checkpoint
    from cnnviz.importing.damaged import Damaged
    from cnnviz.importing.network import Network
    from cnnviz.importing.options import ImportOptions
    from cnnviz.importing.states import State


class Series(NamedTuple):
    """What a run is made of.

    Attributes:
        checkpoints: Step to checkpoint, the steps rising.
        source: Where the steps come from, in words.
        first: The first state.
        network: The network, if it is known.
        states: Reads the states; all must be like the first.
    """

    checkpoints: Mapping[int, Checkpoint]
    source: str
    first: State
    network: Network | None
    states: States


def find_series(
    checkpoints: Sequence[Checkpoint],
    model: str | nn.Module | None,
    options: ImportOptions,
    data: Data | None,
    damaged: Damaged,
) -> Series:
    """Return the checkpoints in order; if damaged ones are to be left out, all are read, and those that fit returned.

    Raises:
        ConfigError: If two have one step, or an option can't be used.
        DataError: If one can't be read, or none is left.
        ModelError: If the network can't be built, or the weights don't fit it; the message names layers.
    """
    if model is None and options.model_arguments:
        raise ConfigError("arguments of the network were given, but no network: --model NAME")
    kept: list[Checkpoint] = []
    counters: list[Mapping[str, int]] | None = None
    if options.step_pattern is None or damaged.skip:
        counters = []
        for checkpoint in checkpoints:
            with damaged.tolerated():
                counters.append(checkpoint.counters())
                kept.append(checkpoint)
    else:
        kept = list(checkpoints)
    if not kept:
        raise damaged.none_left()
    steps = find_steps(kept, options.step_pattern, counters)
    ordered = dict(sorted(zip(steps.values, kept, strict=True)))
    begun: _Begun | None = None
    fitting: dict[int, Checkpoint] = {}
    for step, checkpoint in ordered.items():
        if begun is not None and not damaged.skip:
            fitting[step] = checkpoint  # it is read when it is written
            continue
        with damaged.tolerated():
            if begun is None:
                begun = _begin(checkpoint, model, options, data)
            else:
                begun.states.read(checkpoint)
            fitting[step] = checkpoint
    if begun is None:
        raise damaged.none_left()
    return Series(fitting, steps.source, *begun)


class _Begun(NamedTuple):
    first: State
    network: Network | None
    states: States


def _begin(
    checkpoint: Checkpoint, model: str | nn.Module | None, options: ImportOptions, data: Data | None
) -> _Begun:
    """Return what the first checkpoint tells."""
    states = States()
    first = states.read(checkpoint)
    if model is None:
        return _Begun(first, None, states)
    if isinstance(model, nn.Module):
        network = given_network(model)
    else:
        size = max(data.shape[1:]) if data is not None else options.image_size
        network = find_network(model, first.given, options.model_arguments, size, str(checkpoint.path))
    return _Begun(states.expect(first, network), network, states)
