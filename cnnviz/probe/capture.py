"""The probe: what named layers put out, and the gradients that come back to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch.func import functional_call

from cnnviz.errors import LayerError
from cnnviz.probe.following import Following
from cnnviz.probe.names import is_function, without_number, works_in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from torch import Tensor, nn


class _Enough(Exception):  # noqa: N818 - not an error: it ends a forward pass early
    """All wanted layers have run."""


class Probe:
    """A context manager that captures what named layers put out, and the gradients that come back to them.

    Layers are modules and functions, named as in `cnnviz.probe`: "conv1", "layer1.0.add", and "layer1.0.relu_1" for
    the second call of "layer1.0.relu" in a pass. Activations are those of the last forward pass inside the context.
    Gradients are taken on the tensors, not the modules, because module backward hooks break with in-place
    activations; they belong to the activations that are kept.

    Attributes:
        activations: Layer name to output, still attached to the graph.
        gradients: Layer name to the gradient of its output, filled by `backward`.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        """Prepare to watch `layers` of `model`; hooks stand only inside the context.

        Raises:
            LayerError: If the network can't have such a layer; the message lists its modules.
        """
        self.model = model
        self.activations: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self._watched = tuple(dict.fromkeys(layers))
        modules = dict(model.named_modules())
        for name in self._watched:
            _require(modules, name)
        self._following = _Capturing(self, functions=any(name not in modules for name in self._watched))
        self._times: dict[str, int] = {}
        self._stopping = False

    def __enter__(self) -> Self:
        self._following.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._following.__exit__()

    def __getitem__(self, layer: str) -> Tensor:
        """Return the captured activation of `layer`.

        Raises:
            LayerError: If the layer is not watched or did not run.
        """
        if layer not in self.activations:
            raise LayerError(
                f"layer {layer!r} {'did not run' if layer in self._watched else 'is not watched'}"
            )
        return self.activations[layer]

    def run(
        self, images: Tensor, state: Mapping[str, Tensor] | None = None, *, whole: bool = False
    ) -> dict[str, Tensor]:
        """Pass `images` through the network only as far as the last watched layer that runs, and return all.

        Args:
            images: What the network takes, usually (b, c, h, w).
            state: Parameters and buffers to use in place of the network's own; those not named stay.
            whole: Pass through all of the network.

        Returns:
            Layer name to activation.

        Raises:
            LayerError: If a layer did not run, or puts out something else than one tensor.
        """
        self.activations.clear()
        self._stopping = not whole
        try:
            functional_call(self.model, dict(state or {}), (images,))
        except _Enough:
            pass
        finally:
            self._stopping = False
        return {name: self[name] for name in self._watched}

    def _begin(self) -> None:
        if not _in_backward():  # a checkpointed network runs again there, for the same pass
            self.activations.clear()
            self.gradients.clear()

    def _wants(self, name: str) -> bool:
        if name not in self._watched:
            return False
        kept = self.activations.get(name)
        return kept is None or not (kept.requires_grad and _in_backward())

    def _keep(self, name: str, activation: Tensor) -> None:
        """Keep what a layer put out; end the pass if it was the last that is wanted."""
        self.activations[name] = activation
        time = self._times[name] = self._times.get(name, 0) + 1
        if activation.requires_grad:
            activation.register_hook(lambda gradient: self._keep_gradient(name, time, gradient))
        if self._stopping and len(self.activations) == len(self._watched):
            raise _Enough

    def _keep_gradient(self, name: str, time: int, gradient: Tensor) -> None:
        if (
            time == self._times[name]
        ):  # an earlier pass may be followed back only now; what it put out is gone
            self.gradients[name] = gradient


class _Capturing(Following):
    def __init__(self, probe: Probe, functions: bool) -> None:
        only = {*probe._watched, *map(without_number, probe._watched)}
        super().__init__(probe.model, functions, only)
        self._probe = probe

    def on_pass(self, whole: bool) -> None:
        if whole:
            self._probe._begin()

    def on_module(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        if not self._probe._wants(name):
            return None
        in_place = bool(getattr(module, "inplace", False))
        return self._captured(name, output, () if in_place else inputs)

    def on_function(self, name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        if not self._probe._wants(name):
            return function(*args, **kwargs)
        if not args or not works_in_place(function, kwargs):
            return self._captured(name, function(*args, **kwargs), args)
        # The network may go on with either the result or the tensor that was written over: they must stay one.
        self._probe._keep(name, _one_tensor(name, function(args[0].clone(), *args[1:], **kwargs)))
        return args[0].copy_(self._probe.activations[name])

    def _captured(self, name: str, output: Any, inputs: tuple[Any, ...]) -> Tensor:
        """Keep a layer's output, and return one for the network that it may overwrite."""
        kept = _one_tensor(name, output)
        if any(kept is tensor for tensor in inputs) or kept._is_view():
            kept = kept.clone()  # whoever overwrites the input must not overwrite what is kept
        self._probe._keep(name, kept)
        return kept.clone()


def _one_tensor(name: str, output: Any) -> Tensor:
    if isinstance(output, torch.Tensor):
        return output
    raise LayerError(f"layer {name!r} puts out {type(output).__name__}, not one tensor")


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


def _require(modules: dict[str, nn.Module], name: str) -> None:
    first = without_number(name)
    if name and (name in modules or first in modules):
        return
    caller, _, function = first.rpartition(".")
    if function and caller in modules and is_function(function):
        return
    raise LayerError(f"the network has no layer {name!r}; it has {', '.join(n for n in modules if n)}")
