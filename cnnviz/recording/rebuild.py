"""Rebuilding a run's network: by its registry name, or with what the user hands in; never with the run's own word."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnnviz.errors import ModelError
from cnnviz.models import MODELS, build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.recording.manifest import Manifest

ModelSource = nn.Module | Callable[..., nn.Module] | str | None
"""A module to copy, a class or function that makes one, or `package.module:factory`."""


def rebuild(manifest: Manifest, source: ModelSource) -> nn.Module:
    """Return a network of the run's architecture, its weights arbitrary, without touching the random state.

    Raises:
        ModelError: If the run's network is a class of the user's own, and `source` doesn't give it.
    """
    with torch.random.fork_rng(devices=[]):
        return _make(manifest, source)


def fill(model: nn.Module, state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Put `state` into `model` and return it in eval mode.

    Raises:
        ModelError: If names or shapes differ; the message names the layers.
    """
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise ModelError(f"the weights of {where} don't fit {type(model).__name__}: {error}") from error
    return model.eval()


def _make(manifest: Manifest, source: ModelSource) -> nn.Module:
    description = manifest.description
    if isinstance(source, nn.Module):
        return copy.deepcopy(source).cpu()
    arguments: dict[str, Any] = dict(description.arguments)
    if isinstance(source, str) and {"channels", "classes", "image_size"} <= set(arguments):
        return build(source, **arguments)
    if source is not None:
        return _call(MODELS.get(source) if isinstance(source, str) else source)
    name = description.model
    # A run may come from anybody: only names of the registry are looked up, never an import path.
    if name is None or ":" in name or name not in MODELS:
        raise ModelError(
            f"the network of this run, {manifest.network}, is a class of its user's own: "
            "open the run with it, cnnviz.open_run(path, model=...)"
        )
    try:
        return build(name, **arguments)
    except TypeError as error:
        raise ModelError(f"run.json has wrong arguments for the model {name!r}: {error}") from error


def _call(factory: Callable[..., nn.Module]) -> nn.Module:
    try:
        model = factory()
    except TypeError as error:
        raise ModelError(f"{factory!r} can't make the network without arguments: {error}") from error
    if not isinstance(model, nn.Module):
        raise ModelError(f"{factory!r} returned {type(model).__name__}, not a torch.nn.Module")
    return model
