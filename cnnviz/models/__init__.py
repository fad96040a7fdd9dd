"""Networks by name: each file here registers one architecture, and `build` makes it fit the data."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from cnnviz.calling import call_own
from cnnviz.errors import ModelError
from cnnviz.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

MODELS: Registry[Callable[..., nn.Module]] = Registry("model", "cnnviz.models")
"""The known networks; each is called with `channels`, `classes`, `image_size` and its own arguments."""

model = MODELS.register
"""Register a factory of networks: `@model("convnet")`."""


def build(name: str, /, *, channels: int, classes: int, image_size: int, **arguments: Any) -> nn.Module:
    """Return a new network of the architecture `name`, randomly initialized and fitted to the data.

    Args:
        name: A registered name, or `package.module:factory` for a factory or class of the user's own. The
            factory gets those of the three arguments below that its signature names.
        channels: Channels of an image, at least 1.
        classes: Number of classes, at least 1; the network returns one logit for each.
        image_size: Height and width of an image in pixels, at least 1.
        **arguments: The architecture's own arguments.

    Returns:
        The network, in training mode unless its factory decides otherwise.

    Raises:
        UnknownNameError: If there is no such model.
        ModelError: If the factory does not take an argument, fails, or returns something else than a network.
    """
    fitting = {"channels": channels, "classes": classes, "image_size": image_size}
    for argument, value in fitting.items():
        if value < 1:
            raise ModelError(f"{argument} must be at least 1, not {value}")
    factory = MODELS.get(name)
    given = _bound(name, factory, fitting, arguments)
    if ":" in name:
        return _checked(name, call_own(name, lambda: factory(**given), ModelError))
    network = _checked(name, factory(**given))
    # How to build it again: what a recorder writes down, as only names of the registry can be trusted.
    # (To the type checker an attribute of a module is a tensor or a module.)
    network.cnnviz_recipe = (name, {**fitting, **arguments})  # type: ignore[assignment]
    return network


def _bound(
    name: str, factory: Callable[..., object], fitting: dict[str, int], arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the keyword arguments for `factory`; a user's own need not take what fits it to the data."""
    from torch import nn  # here, so that importing this package stays quick

    if isinstance(factory, nn.Module):
        raise ModelError(f"{name} is a network: name the class, or a function that makes one")
    try:
        signature = _signature(factory)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the model {name!r} can't be called: {error}") from error
    kinds = {key: parameter.kind for key, parameter in signature.parameters.items()}
    takes_all = inspect.Parameter.VAR_KEYWORD in kinds.values()
    named = [k for k, kind in kinds.items() if kind in (kind.POSITIONAL_OR_KEYWORD, kind.KEYWORD_ONLY)]
    given = {k: v for k, v in fitting.items() if takes_all or k in named} | arguments
    unknown = [k for k in arguments if not takes_all and k not in named]
    if unknown:
        accepted = ", ".join(k for k in named if k not in fitting) or "none"
        raise ModelError(f"the model {name!r} takes no argument {unknown[0]!r}; it takes: {accepted}")
    try:
        signature.bind(**given)
    except TypeError as error:
        raise ModelError(
            f"the model {name!r} can't be built: {error}; give it as a model argument"
        ) from error
    return given


def _signature(factory: Callable[..., object]) -> inspect.Signature:
    from torch import nn  # here, so that importing this package stays quick

    if getattr(factory, "__init__", None) is nn.Module.__init__:
        return inspect.Signature()  # it names **kwargs and takes none
    return inspect.signature(factory)


def _checked(name: str, network: object) -> nn.Module:
    from torch import nn  # here, see above

    if not isinstance(network, nn.Module):
        raise ModelError(
            f"the model {name!r} must return a torch.nn.Module; it returned {type(network).__name__}"
        )
    return network
