"""The network that a config asks for, fitted to its data, and what a run remembers of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cnnviz.errors import ModelError
from cnnviz.models import MODELS, build
from cnnviz.recording.manifest import Description

if TYPE_CHECKING:
    from torch import nn

    from cnnviz.data.split import Data
    from cnnviz.training.config import TrainConfig


def make_model(config: TrainConfig, data: Data) -> nn.Module:
    """Return the new network, after one image has passed through it.

    Raises:
        ModelError: If it can't take the images, or doesn't give one logit a class.
    """
    fitting = _fitting(data)
    given = sorted(set(fitting) & set(config.model_arguments))
    if given:
        raise ModelError(
            f"{given[0]!r} can't be an argument of the model: it comes from the data, {fitting[given[0]]}"
        )
    model = build(config.model, **fitting, **config.model_arguments)
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = model(torch.zeros(1, *data.shape))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        raise ModelError(
            f"the model {config.model!r} can't take images of shape {data.shape}: {error}; "
            "larger ones may do: --image-size 64"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (1, len(data.classes)):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(
            f"the model {config.model!r} must give one logit for each of the {len(data.classes)} classes, "
            f"(1, {len(data.classes)}), not {found}"
        )
    return model.train()


def describe(config: TrainConfig, data: Data) -> Description:
    """Return what a run remembers of its training; a user's own class stands in the options only, for people."""
    known = ":" not in config.model and config.model in MODELS
    return Description(
        model=config.model if known else None,
        arguments={**_fitting(data), **config.model_arguments},
        data=data.name,
        classes=data.classes,
        config=config.to_json(),
        seed=config.seed,
    )


def _fitting(data: Data) -> dict[str, int]:
    """Return the arguments of a model that fit it to the data."""
    return {"channels": data.channels, "classes": len(data.classes), "image_size": max(data.shape[1:])}
