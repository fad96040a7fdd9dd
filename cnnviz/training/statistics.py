"""Per-layer gradient norms and update sizes, taken around the steps that are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class LayerStatistics:
    """Measures one update: `before` it, then `after`, once the gradients are there and the weights have moved."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = {
            name or type(model).__name__: parameters
            for name, module in model.named_modules()
            if (parameters := [p for p in module.parameters(recurse=False) if p.requires_grad])
        }
        self._old: dict[str, list[Tensor]] = {}

    def before(self) -> None:
        """Remember the weights."""
        self._old = {name: [p.detach().clone() for p in layer] for name, layer in self._layers.items()}

    def after(self) -> dict[str, float]:
        """Return "gradient_norm/<layer>" and "update_size/<layer>": L2 norms over the layer's parameters."""
        result = {}
        for name, layer in self._layers.items():
            gradients = [p.grad for p in layer if p.grad is not None]
            moves = [p.detach() - old for p, old in zip(layer, self._old[name], strict=True)]
            result[f"gradient_norm/{name}"] = _norm(gradients)
            result[f"update_size/{name}"] = _norm(moves)
        return result


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.stack([t.norm() for t in tensors]))) if tensors else 0.0
