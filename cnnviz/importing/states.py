"""The states of one network, read from checkpoints under one set of names, and checked against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cnnviz.importing.fitting import MisfitError, check_shapes, fit_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.importing.checkpoint import Checkpoint
    from cnnviz.importing.fitting import Fit
    from cnnviz.importing.network import Network


class State(NamedTuple):
    """The network's state in one checkpoint.

    Attributes:
        checkpoint: Where it lies.
        given: All tensors of the checkpoint, under its names.
        fit: Which of them are the network's.
        levels: The keys that were opened to reach them.
        homes: Of safetensors, the name of each tensor to the number of its file.
    """

    checkpoint: Checkpoint
    given: Mapping[str, Tensor]
    fit: Fit
    levels: tuple[str, ...]
    homes: Mapping[str, int]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The network's tensors, under its names."""
        return {new: self.given[old] for new, old in self.fit.names.items()}


class States:
    """Reads states; what the first holds, or what the network has, all must have."""

    def __init__(self) -> None:
        self._like: dict[str, Tensor] = {}
        self._where = ""

    def read(self, checkpoint: Checkpoint) -> State:
        """Return the state in a checkpoint.

        Raises:
            DataError: If it can't be read, or holds no weights.
            MisfitError: If names, shapes or types are others than those of the first.
        """
        weights = checkpoint.read()
        where = str(checkpoint.path)
        fit = fit_names(weights.tensors, self._like or None, where)
        state = State(checkpoint, weights.tensors, fit, weights.levels, weights.homes)
        tensors = state.tensors
        if not self._like:
            self._where = where
            self._remember(tensors)
        check_shapes(tensors, {n: tuple(t.shape) for n, t in self._like.items()}, where, self._where)
        for name, tensor in tensors.items():
            if tensor.dtype != self._like[name].dtype:
                raise MisfitError(
                    f"{name} is of type {_type(tensor)} in {where}, but {_type(self._like[name])} in {self._where}: "
                    "bring all checkpoints to one type"
                )
        return state

    def expect(self, first: State, network: Network) -> State:
        """Return the first state under the names of `network`, which all that follow must have.

        Raises:
            MisfitError: If the weights don't fit the network; the message names layers.
        """
        shapes = network.shapes()
        where = str(first.checkpoint.path)
        state = first._replace(fit=fit_names(first.given, shapes, where))
        check_shapes(state.tensors, shapes, where, f"the network {network.name}")
        self._remember(state.tensors)
        return state

    def _remember(self, tensors: Mapping[str, Tensor]) -> None:
        # The shapes and types only: the values of a mapped file would keep it open.
        self._like = {name: tensor.to("meta") for name, tensor in tensors.items()}


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
