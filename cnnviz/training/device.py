"""Choosing where to compute."""

from __future__ import annotations

import torch

from cnnviz.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """Return the device that `name` asks for; "auto" takes the first of CUDA, Apple's MPS and the CPU.

    Raises:
        ConfigError: If there is no such device here.
    """
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"there is no device {name!r}: choose auto, cpu, cuda or mps") from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        here = [kind for kind, present in available.items() if present]
        raise ConfigError(f"the device {name!r} is not available here: choose auto or {', '.join(here)}")
    return device
