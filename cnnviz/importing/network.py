"""The network that checkpoints are of, its arguments guessed from the shapes of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cnnviz.errors import ModelError
from cnnviz.importing.building import FITTING, built, channels_of, classes_of, settle, shapes_of, taken_by
from cnnviz.importing.fitting import check_shapes, fit_names
from cnnviz.importing.guessing import convnet_arguments, guessed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cnnviz.importing.fitting import Shape

# Tried in this order where nothing tells the image size: torchvision's networks are made for 224.
_SIZES = (224, 28, 32, 64, 96, 128, 256, 299, 384, 512)
# Of the user's own, which are built with all their values, the small ones come first.
OWN_SIZES = (28, 32, 64, 224, 96, 128, 256, 299)
_START = {"channels": 3, "classes": 10}


class Network(NamedTuple):
    """A network and how it is built.

    Attributes:
        model: The network; on the meta device, without values, if cnnviz knows it by name.
        name: What its user calls it.
        arguments: What it was built with; none for a factory that was called without any.
        takes: Which of channels, classes and image_size its factory takes; what it doesn't take, the weights told.
    """

    model: nn.Module
    name: str
    arguments: dict[str, Any]
    takes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether cnnviz knows it by name."""
        return bool(self.arguments) and ":" not in self.name

    def shapes(self) -> dict[str, Shape | None]:
        """Return the names and shapes of its parameters and buffers."""
        return shapes_of(self.model)


def given_network(model: nn.Module) -> Network:
    """Return what there is to say of a network that its user made."""
    name, arguments = getattr(model, "cnnviz_recipe", (type(model).__qualname__, {}))
    return Network(model, name, dict(arguments), FITTING if arguments else ())


def find_network(
    name: str, tensors: Mapping[str, Tensor], given: Mapping[str, Any], size: int | None, where: str
) -> Network:
    """Return the network `name` with the arguments that make it fit the weights.

    Args:
        name: A name of the registry, or `package.module:factory`.
        tensors: The weights of one checkpoint.
        given: Arguments that are not to be guessed.
        size: Height and width of an image in pixels; None tries the usual ones.
        where: What messages call the checkpoint.

    Raises:
        UnknownNameError: If there is no such network.
        ModelError: If it can't be built, or the weights don't fit; the message names layers.
    """
    takes = taken_by(name)
    size = given.get("image_size", size)
    sizes = (_SIZES if ":" not in name else OWN_SIZES) if size is None else (size,)
    if "image_size" not in takes:
        sizes = sizes[:1]  # the network is the same with all
    own = convnet_arguments(tensors, where) if name == "convnet" else {}
    if size is not None:
        own.pop("image_size", None)
    start, arguments = _first(name, {**_START, **own, **given}, sizes)
    names = fit_names(tensors, start, where).names
    found = {new: tensors[old] for new, old in names.items()}
    wanted = [key for key in _START if key in takes and key not in given]
    arguments |= guessed(name, arguments, start, found, wanted)
    error: ModelError | None = None
    for image_size in dict.fromkeys([arguments["image_size"], *sizes]):
        arguments["image_size"] = image_size
        try:
            model = built(name, arguments)
            check_shapes(found, shapes_of(model), where, f"the model {name!r}")
        except ModelError as reason:
            error = error or reason
            if "image_size" in own:
                break
            continue
        settle(model, found)
        return Network(model, name, _recorded(model, arguments, takes, given), takes)
    raise error or ModelError(f"the model {name!r} can't be built")


def _first(
    name: str, arguments: dict[str, Any], sizes: tuple[int, ...]
) -> tuple[dict[str, Shape | None], dict[str, Any]]:
    """Return the shapes of the network at the first image size that it can be built for, and its arguments."""
    error: ModelError | None = None
    for image_size in (arguments["image_size"],) if "image_size" in arguments else sizes:
        whole = {**arguments, "image_size": image_size}
        try:
            return shapes_of(built(name, whole)), whole
        except ModelError as reason:
            error = error or reason
    raise error or ModelError(f"the model {name!r} can't be built")


def _recorded(
    model: nn.Module, arguments: dict[str, Any], takes: tuple[str, ...], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what to write down: nothing of a factory that takes nothing, else all, as `build` needs them all."""
    if not takes and given.keys() <= set(FITTING):
        return {}
    told = {"channels": channels_of(model), "classes": classes_of(model)}
    return arguments | {k: n for k, n in told.items() if n is not None and k not in takes and k not in given}
