"""Activations and gradients of named layers: the only place that registers hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch.func import functional_call

from cnnviz.errors import LayerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle


class _Enough(Exception):  # noqa: N818 - not an error: it ends a forward pass early
    """All wanted layers have run."""


class Probe:
    """A context manager that captures what named layers put out, and the gradients that come back to them.

    Activations are those of the last forward pass inside the context; where a layer runs several times in one
    pass, of its last time. Gradients are taken on the tensors, not the modules, because module backward hooks
    break with in-place activations; they belong to the activations that are kept.

    Attributes:
        activations: Layer name to output, still attached to the graph.
        gradients: Layer name to the gradient of its output, filled by `backward`.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]) -> None:
        """Prepare to watch `layers` of `model`; hooks stand only inside the context.

        Raises:
            LayerError: If the network has no such layer; the message lists those it has.
        """
        self.model = model
        self.activations: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        modules = dict(model.named_modules())
        self._watched = {name: _find(modules, name) for name in layers}
        self._times: dict[str, int] = {}
        self._needed: dict[str, int] | None = None  # how often each layer runs in a pass, once one was whole
        self._stopping = False
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        for name, module in self._watched.items():
            self._handles.append(module.register_forward_hook(self._capture(name)))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

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
            whole: Pass through all of the network: for one whose values decide which layers run how often.

        Returns:
            Layer name to activation.
        """
        self.activations.clear()
        self._times = dict.fromkeys(self._watched, 0)
        self._stopping = self._needed is not None and not whole
        try:
            functional_call(self.model, dict(state or {}), (images,))
            self._needed = self._times
        except _Enough:
            pass
        finally:
            self._stopping = False
        return {name: self[name] for name in self._watched}

    def _capture(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor:
            if not isinstance(output, torch.Tensor):
                raise LayerError(f"layer {name!r} puts out {type(output).__name__}, not one tensor")
            self.activations[name] = output
            time = self._times[name] = self._times.get(name, 0) + 1
            if output.requires_grad:
                output.register_hook(lambda gradient: self._keep(name, time, gradient))
            if self._stopping and self._times == self._needed:
                raise _Enough
            # What follows may work in place (F.relu(inplace=True), +=) and would overwrite what was captured.
            return output.clone()

        return hook

    def _keep(self, name: str, time: int, gradient: Tensor) -> None:
        if time == self._times[name]:  # of the last time, as the activation is; earlier times come back later
            self.gradients[name] = gradient


def layers_in_order(model: nn.Module, images: Tensor) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return each layer that runs and puts out one tensor: its name, its kind and its output's shape, in that order.

    The network is run once in eval mode without gradients; its mode and the random state stay as they were.

    Args:
        model: The network.
        images: What it takes, usually (b, c, h, w).

    Returns:
        (name, class name, shape of the output without the batch axis), ordered by when a layer first finishes.
    """
    found: dict[str, tuple[str, str, tuple[int, ...]]] = {}

    def hook(name: str, module: nn.Module) -> Any:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and output.ndim >= 1:
                found.setdefault(name, (name, type(module).__name__, tuple(output.shape[1:])))

        return note

    modes = {module: module.training for module in model.modules()}
    handles = [m.register_forward_hook(hook(name, m)) for name, m in model.named_modules() if name]
    devices = [images.device] if images.device.type == "cuda" else []
    try:
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
    return list(found.values())


def _find(modules: dict[str, nn.Module], name: str) -> nn.Module:
    if name in modules and name:
        return modules[name]
    raise LayerError(f"the network has no layer {name!r}; it has {', '.join(n for n in modules if n)}")
