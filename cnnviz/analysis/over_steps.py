"""What the network computes for an image, at every snapshot of a run at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.func import functional_call, vmap

from cnnviz.errors import LayerError, StepError
from cnnviz.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from cnnviz.recording.run import Run

    StateFunction = Callable[[dict[str, Tensor]], Tensor]

# Bounds what a chunk of stacked snapshots may hold; larger chunks were not faster.
_CHUNK_BYTES = 64 * 2**20
_LARGEST_CHUNK = 100


def activations_over_steps(run: Run, images: Tensor, layer: str) -> Tensor:
    """Return the activations of `layer` at every snapshot, (T, b, ...), in eval mode and without gradients.

    Only the tensors that the layer depends on are read, and the network is run no further than the layer.

    Args:
        run: The run, or a slice of one.
        images: (b, c, h, w), as the network sees them.
        layer: The name of a layer.

    Raises:
        LayerError: If the network has no such layer.
        ModelError: If the network can't be rebuilt.
    """
    model = _first_model(run)
    with Probe(model, [layer]) as probe:
        names = _tensors_behind(model, lambda: probe.run(images)[layer])
        return _over_steps(run, names, lambda state: probe.run(images, state)[layer])


def logits_over_steps(run: Run, images: Tensor) -> Tensor:
    """Return what the network puts out at every snapshot, (T, b, classes), in eval mode and without gradients.

    Raises:
        ModelError: If the network can't be rebuilt.
    """
    model = _first_model(run)
    names = list(model.state_dict())
    return _over_steps(run, names, lambda state: functional_call(model, state, (images,)))


def _first_model(run: Run) -> nn.Module:
    if not len(run):
        raise StepError(f"{run.path} holds no snapshots yet")
    return run.load(run.first)


def _over_steps(run: Run, names: list[str], function: StateFunction) -> Tensor:
    if not names:  # before the first weights every step shows the same
        with torch.no_grad():
            single = function({})
        return single.expand(len(run), *single.shape).clone()
    chunk = _chunk_length(run, names)
    parts = []
    vectorized = True
    with torch.no_grad():
        for start in range(0, len(run), chunk):
            states = run[start : start + chunk].stacked(names)
            if vectorized:
                try:
                    parts.append(vmap(function)(states))
                    continue
                except RuntimeError:
                    vectorized = (
                        False  # in-place buffers or data-dependent control flow: the plain loop does the same
                    )
            parts.append(_loop(function, states))
    return torch.cat(parts)


def _loop(function: StateFunction, states: dict[str, Tensor]) -> Tensor:
    count = len(next(iter(states.values())))
    return torch.stack([function({name: tensor[i] for name, tensor in states.items()}) for i in range(count)])


def _chunk_length(run: Run, names: list[str]) -> int:
    state = run.first.state
    stored = sum(state[name].numel() for name in names)
    computed = sum(math.prod(shape) for shape in run.shapes.values())
    return max(1, min(_LARGEST_CHUNK, _CHUNK_BYTES // (4 * (stored + computed) or 1)))


def _tensors_behind(model: nn.Module, compute: Callable[[], Tensor]) -> list[str]:
    """Return the names of the parameters and buffers that `compute` depends on, as the autograd graph tells.

    Buffers have no gradients, so all of them count; they are small.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    required = {name: parameter.requires_grad for name, parameter in parameters.items()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        output = compute()
    finally:
        leaves = {id(parameter): name for name, parameter in parameters.items()}
    used = {leaves[id(leaf)] for leaf in _graph_leaves(output) if id(leaf) in leaves}
    shared = {name for name, parameter in parameters.items() if any(parameter is parameters[n] for n in used)}
    for name, parameter in parameters.items():
        parameter.requires_grad_(required[name])
    buffers = {name for name in model.state_dict() if name not in parameters}
    return sorted(used | shared | buffers)


def _graph_leaves(output: Tensor) -> list[Tensor]:
    found, seen, waiting = [], set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.append(leaf)
        waiting.extend(parent for parent, _ in node.next_functions)
    return found


def require_layer(run: Run, layer: str, allowed: dict[str, str], wanted: str) -> None:
    """Raise unless `layer` is among `allowed`.

    Raises:
        LayerError: If it isn't; the message lists the allowed ones.
    """
    if layer in allowed:
        return
    known = dict(run.layers)
    problem = f"is a {known[layer]}" if layer in known else "is not in the network"
    raise LayerError(f"layer {layer!r} {problem}; {wanted}: {', '.join(allowed) or 'there are none'}")
