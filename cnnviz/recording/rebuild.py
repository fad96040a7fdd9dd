"""Rebuilding a run's network: by its registry name, or with what the user hands in; never with the run's own word."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from cnnviz.calling import call_own
from cnnviz.errors import ModelError
from cnnviz.models import MODELS, build
from cnnviz.recording.bare import bare_module, bare_names, is_built, unwrapped
from cnnviz.recording.differing import differences, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from cnnviz.recording.manifest import Manifest

ModelSource = nn.Module | Callable[..., nn.Module] | str | None
"""A module to copy, a class or function that makes one, or `package.module:factory`."""


# A network has a few modules and tensors for each tensor of its state; one that builds on and on was made to.
_LEAST_PIECES = 2000
_PIECES_A_TENSOR = 10


def rebuild(manifest: Manifest, source: ModelSource, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a network of the run's architecture, its weights arbitrary, without touching the random state.

    Args:
        manifest: What the run says of its network.
        source: What the user gave for a class of their own.
        state: The weights that it is for: a run's own arguments may ask for no network that these don't fill.

    Raises:
        ModelError: If the run's network is a class of the user's own, and `source` doesn't give it; or if the
            network that run.json asks for doesn't fit the weights.
    """
    with torch.random.fork_rng(devices=[]):
        return _make(manifest, source, state)


def fill(model: nn.Module, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Put `state` into `model` and return it in eval mode.

    Raises:
        ModelError: If names or shapes differ; the message names the layers.
    """
    bare = bare_module(model)
    own = bare.state_dict()
    wanted = dict(zip(bare_names(bare, own), own.values(), strict=True))
    if is_built(wanted.values()):
        different = differences(_shapes(wanted), _shapes(state))
        different += [
            f"{name} is of {state[name].dtype}, where the model has {tensor.dtype}"
            for name, tensor in wanted.items()
            if name in state and tensor.is_complex() != state[name].is_complex()
        ]
        if different:
            raise ModelError(
                f"the weights of {where} don't fit {type(bare).__name__}: {shortened(different)}; give the network "
                "that was trained"
            )
    own_names = dict(zip(wanted, own, strict=True))
    try:
        bare.load_state_dict(
            {own_names.get(name, name): tensor for name, tensor in state.items()}, strict=True
        )
    except RuntimeError as error:
        raise ModelError(f"the weights of {where} don't fit {type(bare).__name__}: {error}") from error
    return model.eval()


def _make(manifest: Manifest, source: ModelSource, state: Mapping[str, Tensor]) -> nn.Module:
    description = manifest.description
    arguments: dict[str, Any] = dict(description.arguments)
    own = MODELS.get(source) if isinstance(source, str) else source
    if isinstance(own, nn.Module):
        return _copy(own)
    if isinstance(source, str) and {"channels", "classes", "image_size"} <= set(arguments):
        return build(source, **arguments)
    if own is not None:
        return _call(source if isinstance(source, str) else getattr(own, "__qualname__", repr(own)), own)
    name = description.model
    # A run may come from anybody: only names of the registry are looked up, never an import path.
    if name is None or ":" in name or name not in MODELS:
        factory = name if name is not None and ":" in name else "package.module:factory"
        raise ModelError(
            f"the network that run.json names, {manifest.network}, is a class of its user's own: open the run with it, "
            f"cnnviz.open_run(path, model=...), or at the command line with --model {factory}"
        )
    with torch.device("meta"), _bounded(_LEAST_PIECES + _PIECES_A_TENSOR * len(state)):
        _check_fits(_build_known(name, arguments), state, name)
    return _build_known(name, arguments)


def _build_known(name: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        return build(name, **arguments)
    except Exception as error:  # arguments of any kind, for factories of many kinds
        raise ModelError(f"run.json has wrong arguments for the model {name!r}: {error}") from error


def _check_fits(model: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Raise unless `model`, which takes no memory yet, has just the tensors of `state`."""
    different = differences(_shapes(model.state_dict()), _shapes(state))
    if different:
        raise ModelError(
            f"the weights of the run don't fit the model {name!r} of its run.json: {shortened(different)}"
        )


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Raise ModelError once more than `most` modules and parameters are made in this thread."""
    count = 0
    thread = threading.get_ident()

    def look(*_: object) -> None:
        nonlocal count
        if threading.get_ident() == thread:
            count += 1
            if count > most:
                raise ModelError("it asks for a network of far more layers than the run has weights for")

    hooks = (
        register_module_parameter_registration_hook(look),
        register_module_module_registration_hook(look),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(unwrapped(model)).cpu()
    except ValueError as error:  # of lazy layers that have no weights yet
        raise ModelError(
            f"{type(model).__name__} can't be copied: {error}; give the class or a function that makes one"
        ) from error


def _call(name: str, factory: Callable[..., nn.Module]) -> nn.Module:
    try:
        inspect.signature(factory).bind()
    except ValueError:  # of some built-in classes nobody can tell
        pass
    except TypeError as error:
        raise ModelError(f"{name} can't make the network without arguments: {error}") from error
    model = call_own(name, factory, ModelError)
    if not isinstance(model, nn.Module):
        raise ModelError(f"{name} returned {type(model).__name__}, not a torch.nn.Module")
    return unwrapped(model)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
