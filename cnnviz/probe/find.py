"""Which layers a network has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from cnnviz.errors import LayerError
from cnnviz.probe.following import Following
from cnnviz.probe.names import function_name, is_function, rearranges, works_in_place
from cnnviz.probe.untouched import untouched

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

_NOT_RUN = "it has layers that take their sizes from the first images, and has not run yet"


class FoundLayer(NamedTuple):
    """A layer: a module or a function that a forward pass calls.

    Attributes:
        name: Its name, as `Probe` takes it.
        kind: The class of a module ("ReLU"), the name of a function ("relu").
        shape: The shape of its output without the batch axis; () where it is not known.
    """

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class FoundLayers:
    """The layers of a network, and how they were found.

    Attributes:
        layers: The layers, ordered by when each first finishes.
        source: A "forward pass" shows modules and functions, "module hooks" modules alone; the "module tree" shows
            the modules without children that the network has, in its order and whether they run or not.
        reason: Why not all of a forward pass could be followed, as an end of "because ..."; "" where it was.
    """

    layers: tuple[FoundLayer, ...]
    source: Literal["forward pass", "module hooks", "module tree"]
    reason: str = ""


def find_layers(model: nn.Module, images: Tensor | None) -> FoundLayers:
    """Return the layers of any network, by running it on one image where that can be done.

    The network, its mode and the random state stay as they were. It is no error if the network can't take images.

    Args:
        model: The network.
        images: (n, c, h, w), uint8 or as the network sees them; only the first is used. None if there are none.
    """
    if _is_lazy(model):
        return FoundLayers(_leaves(model), "module tree", _NOT_RUN)
    if images is None or not len(images):
        return FoundLayers(_leaves(model), "module tree", "there are no images to run it on")
    reason = ""
    for functions in (True, False):
        try:
            layers = _run(model, _prepared(images[:1], model), functions)
        except Exception as error:  # whatever a stranger's forward raises
            reason = reason or f"running it failed ({type(error).__name__}: {_first_line(error)})"
        else:
            return FoundLayers(layers, "forward pass" if functions else "module hooks", reason)
    return FoundLayers(_leaves(model), "module tree", reason)


def layers_in_order(model: nn.Module, images: Tensor) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return the name, the kind and the output's shape of each layer that a pass calls and that puts out one tensor.

    The network is run in eval mode without gradients; it, its mode and the random state stay as they were.

    Args:
        model: The network.
        images: What it takes, usually (b, c, h, w).

    Returns:
        (name, kind, shape of the output without the batch axis), ordered by when a layer first finishes.

    Raises:
        LayerError: If the network has layers without parameters yet.
    """
    if _is_lazy(model):
        raise LayerError(f"the layers of {type(model).__name__} can't be found: {_NOT_RUN}; run it once")
    return [(name, kind, shape) for name, kind, shape in _run(model, images, functions=True)]


def _run(model: nn.Module, images: Tensor, functions: bool) -> tuple[FoundLayer, ...]:
    with untouched(model, images):
        known = set(model.modules())
        found = _found(model, images, functions)
        made = set(model.modules()) != known  # by the first pass, as some forwards do
        return _found(model, images, functions) if made else found


def _found(model: nn.Module, images: Tensor, functions: bool) -> tuple[FoundLayer, ...]:
    with _Finding(model, functions) as finding:
        model(images)
    return tuple(finding.found.values())


class _Finding(Following):
    """Notes the modules, and the functions that compute something from the images, that put out one tensor.

    What is computed from parameters alone, like a standardized weight, is no layer; so it is known what is constant.
    """

    def __init__(self, model: nn.Module, functions: bool) -> None:
        super().__init__(model, functions)
        self.found: dict[str, FoundLayer] = {}
        constants = [*model.parameters(), *model.buffers()]
        self._constants = {
            id(tensor): tensor for tensor in constants
        }  # alive, or others would get their numbers

    def on_module(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.ndim >= 1:
            self._note(name, type(module).__name__, output)

    def on_function(self, name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        output = self.on_hidden(function, args, kwargs)
        kind = function_name(function)
        if not (isinstance(output, torch.Tensor) and output.ndim >= 1 and output.is_floating_point()):
            return output
        if id(output) not in self._constants and not rearranges(kind) and is_function(kind):
            self._note(name, kind, output)
        return output

    def on_hidden(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        output = function(*args, **kwargs)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        constant = all(id(tensor) in self._constants for tensor in given)
        outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        if constant:
            self._constants.update({id(tensor): tensor for tensor in outputs})
        elif args and (works_in_place(function, kwargs) or function_name(function) == "setitem"):
            # The images are written over a constant, perhaps through a view of it.
            self._constants.pop(id(args[0]), None)
            self._constants.pop(id(args[0]._base), None)
        return output

    def _note(self, name: str, kind: str, output: Tensor) -> None:
        self.found.setdefault(name, FoundLayer(name, kind, tuple(output.shape[1:])))


def _leaves(model: nn.Module) -> tuple[FoundLayer, ...]:
    leaves = [(name, m) for name, m in model.named_modules() if name and next(m.children(), None) is None]
    return tuple(FoundLayer(name, type(module).__name__, ()) for name, module in leaves)


def _is_lazy(model: nn.Module) -> bool:
    return any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _prepared(image: Tensor, model: nn.Module) -> Tensor:
    image = image / 255 if image.dtype == torch.uint8 else image.float()
    first = next(model.parameters(), None)
    if first is None:
        return image
    return image.to(device=first.device, dtype=first.dtype if first.is_floating_point() else image.dtype)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
