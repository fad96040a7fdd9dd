"""What the network computes for an image, at every snapshot of a run at once."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from cnnviz.errors import CnnvizError, LayerError, ModelError, StepError
from cnnviz.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from cnnviz.recording.run import Run
    from cnnviz.types import Images

    StateFunction = Callable[[dict[str, Tensor]], Tensor]

# Bounds what a chunk of stacked snapshots may hold; larger chunks were not faster.
_CHUNK_BYTES = 64 * 2**20
_LARGEST_CHUNK = 100


def activations_over_steps(run: Run, images: Images, layer: str) -> Tensor:
    """Return the activations of `layer` at every snapshot, (T, b, ...), in eval mode and without gradients.

    The network is run no further than the layer, and only the tensors that are used up to there are read; but all
    tensors where values decide what runs.

    Args:
        run: The run, or a slice of one.
        images: (b, c, h, w), as the network sees them.
        layer: The name of a layer, module or function, as `Probe` takes it.

    Raises:
        LayerError: If the network has no such layer, or it doesn't run.
        ModelError: If the network can't be rebuilt, or does not take the images or the weights.
    """
    model = _first_model(run)
    tensors = _tensors(model)
    with _naming(run), _quietly(), Probe(model, [layer]) as probe:
        with _Used(tensors) as used:
            probe.run(images)
        try:
            return _vectorized(run, sorted(used.names), lambda state: probe.run(images, state)[layer])
        except RuntimeError:  # in-place buffers or data-dependent control flow: the plain loop does the same
            return _looped(run, list(tensors), lambda state: probe.run(images, state)[layer])


def logits_over_steps(run: Run, images: Images) -> Tensor:
    """Return what the network puts out at every snapshot, (T, b, classes), in eval mode and without gradients.

    Raises:
        ModelError: If the network can't be rebuilt, or does not take the images or the weights.
    """
    model = _first_model(run)
    names = list(_tensors(model))
    with _naming(run), _quietly():
        try:
            return _vectorized(run, names, lambda state: functional_call(model, state, (images,)))
        except RuntimeError:
            return _looped(run, names, lambda state: functional_call(model, state, (images,)))


def _first_model(run: Run) -> nn.Module:
    if not len(run):
        raise StepError(f"{run.location} holds no snapshots yet")
    return run.load(run.first)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers that snapshots hold, each once, though tied ones have several names."""
    stored = model.state_dict()
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor for name, tensor in named if name in stored}


@contextmanager
def _naming(run: Run) -> Iterator[None]:
    """Say whose network it is that fails."""
    try:
        yield
    except CnnvizError:
        raise
    except Exception as error:  # whatever a network may raise at an image it is not made for
        raise ModelError(f"the network of {run.location} can't be run on this image: {error}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Compute without gradients, the same every time, and leave the random state as it was."""
    with _PLAIN_ATTENTION, torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


class _PlainAttention:
    """A context without fused attention, for which vmap has no rule, and warns; several threads may be in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = True

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.backends.mha.get_fastpath_enabled()
                torch.backends.mha.set_fastpath_enabled(False)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.backends.mha.set_fastpath_enabled(self._before)


_PLAIN_ATTENTION = _PlainAttention()


def _vectorized(run: Run, names: list[str], function: StateFunction) -> Tensor:
    if not names:  # before the first weights every step shows the same
        single = function({})
        return single.expand(len(run), *single.shape).clone()
    return torch.cat([vmap(function)(states) for states in _chunks(run, names)])


def _looped(run: Run, names: list[str], function: StateFunction) -> Tensor:
    if not names:
        return torch.stack([function({})] * len(run))
    return torch.stack(
        [
            function({name: tensor[i] for name, tensor in states.items()})
            for states in _chunks(run, names)
            for i in range(len(states[names[0]]))
        ]
    )


def _chunks(run: Run, names: list[str]) -> Iterator[dict[str, Tensor]]:
    state = run.first.state
    stored = sum(state[name].numel() for name in names)
    computed = sum(math.prod(shape) for shape in run.shapes.values())
    length = max(1, min(_LARGEST_CHUNK, _CHUNK_BYTES // (4 * (stored + computed) or 1)))
    for start in range(0, len(run), length):
        yield run[start : start + length].stacked(names)


class _Used(TorchFunctionMode):
    """A context manager that notes which tensors any operation reads: also those that no gradient tells of."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._owners = {id(tensor): name for name, tensor in tensors.items()}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if id(tensor) in self._owners:
                self.names.add(self._owners[id(tensor)])
        return function(*args, **(kwargs or {}))


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
