"""Rebuilding a run's network: by its registry name, or with what the user hands in; never with the run's own word."""

from __future__ import annotations

import copy
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

from cnnviz.errors import ModelError
from cnnviz.models import MODELS, build
from cnnviz.recording.bare import bare_module, unwrapped

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
    try:
        for name, tensor in bare.state_dict().items():
            if name in state and tensor.is_complex() != state[name].is_complex():
                raise RuntimeError(f"{name} is of {state[name].dtype} instead of {tensor.dtype}")
        bare.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise ModelError(f"the weights of {where} don't fit {type(model).__name__}: {error}") from error
    return model.eval()


def _make(manifest: Manifest, source: ModelSource, state: Mapping[str, Tensor]) -> nn.Module:
    description = manifest.description
    if isinstance(source, nn.Module):
        try:
            return copy.deepcopy(unwrapped(source)).cpu()
        except ValueError as error:  # of lazy layers that have no weights yet
            raise ModelError(
                f"{type(source).__name__} can't be copied: {error}; give the class or a function that makes one"
            ) from error
    arguments: dict[str, Any] = dict(description.arguments)
    if isinstance(source, str) and {"channels", "classes", "image_size"} <= set(arguments):
        return build(source, **arguments)
    if source is not None:
        return _call(MODELS.get(source) if isinstance(source, str) else source)
    name = description.model
    # A run may come from anybody: only names of the registry are looked up, never an import path.
    if name is None or ":" in name or name not in MODELS:
        raise ModelError(
            f"the network that run.json names, {manifest.network}, is a class of its user's own: open the run with it, "
            "cnnviz.open_run(path, model=...), or at the command line with --model package.module:factory"
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
    wanted = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    wrong = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    if wrong:
        shown = "; ".join(_difference(key, wanted.get(key), found.get(key)) for key in wrong[:5])
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ModelError(
            f"the weights of the run don't fit the model {name!r} of its run.json: {shown}{more}"
        )


def _difference(key: str, wanted: tuple[int, ...] | None, found: tuple[int, ...] | None) -> str:
    if wanted is None:
        return f"the model has no {key}"
    return f"{key} is absent" if found is None else f"{key} is {found}, where the model has {wanted}"


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


def _call(factory: Callable[..., nn.Module]) -> nn.Module:
    try:
        model = factory()
    except TypeError as error:
        raise ModelError(f"{factory!r} can't make the network without arguments: {error}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{factory!r} returned {type(model).__name__}, not a torch.nn.Module")
    return unwrapped(model)
