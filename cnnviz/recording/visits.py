"""Gathering what each training example did, batch by batch, into passes over the training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cnnviz.errors import ConfigError, RunError
from cnnviz.recording.example_codes import check_follows, coded, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from cnnviz.recording.example_codes import Codes

    Numbers = Tensor | NDArray[Any] | Sequence[float]
    Recall = Callable[[int], bytes]

_WHOLE = {
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
}  # fmt: skip
# So many examples may wait before the real work is done on them: their copies take less than a megabyte.
_WAITING = 20_000
_MOST_EXAMPLES = 2**25
# Where some examples are drawn much more often than others, passes are many and nearly empty; they end here.
_MOST_CODES = 2**28
_MOST_PASSES = 2**16


class Visits:
    """Gathers visits of training examples and packs them into passes.

    Adding keeps copies only; the work is done when 20,000 visits wait, or on `flush`. Memory is a byte an example and
    pass; with `recall`, passes that are complete are let go. Kept are at most 65,536 passes and 2^28 visits (268 passes
    over a million examples); later visits are left out.
    """

    def __init__(self, recall: Recall | None = None) -> None:
        """Begin with no visits.

        Args:
            recall: Returns the bytes of a pass that `flush` gave before, for the rare case that an example turns up
                long after all others.
        """
        self._recall = recall
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting_visits = 0
        self._visited = np.zeros(0, np.int32)  # how often, by example; with room to grow, as are passes
        self._examples = 0
        self._passes: dict[int, Codes] = {}
        self._begun = 0
        self._changed: set[int] = set()
        self._recorded = -1
        self._last_step = -1

    @property
    def last_step(self) -> int:
        """The last step that `add` or `restore` was told; -1 if there is none."""
        return self._last_step

    def restore(self, blobs: Mapping[int, bytes], last_step: int) -> None:
        """Go on, before anything is added, from all that was flushed until `last_step`: `blobs` by pass.

        A resumed training repeats steps; visits at steps up to `last_step` are ignored from now on.

        Raises:
            RunError: If the blobs are damaged.
        """
        if sorted(blobs) != list(range(len(blobs))):
            raise RunError("what the training examples did is damaged: a pass is missing")
        before = None
        for number in range(len(blobs)):
            codes = unpacked(blobs[number])
            check_follows(codes, before)
            self._grow(len(codes))
            self._visited[: len(codes)][codes > 0] = number + 1
            self._passes[number] = before = codes
            self._begun = number + 1
            self._let_go()
        self._recorded = self._last_step = last_step

    def add(self, step: int, indices: Numbers, correct: Numbers, loss: Numbers) -> None:
        """Take up a batch; all batches of one step belong between two flushes.

        Tensors may lie on any device; nothing waits for an accelerator but the work on every 20,000 visits.

        Args:
            step: The number of updates so far, never falling.
            indices: (b,), the numbers of the examples in the training set, from 0; one may come several times.
            correct: (b,), whether the network was right.
            loss: (b,), the loss of each.

        Raises:
            ConfigError: If they are no whole numbers and numbers of one length, or the step falls; and for indices
                that are negative or above 33 million, which is seen only when the work is done.
        """
        if step <= self._recorded:
            return
        if step < self._last_step:
            raise ConfigError(f"examples at step {step} can't follow those at step {self._last_step}")
        batch = (_copied("indices", indices), _copied("correct", correct), _copied("loss", loss))
        count = batch[0].numel()
        if not count == batch[1].numel() == batch[2].numel():
            lengths = ", ".join(str(values.numel()) for values in batch)
            raise ConfigError(
                f"indices, correct and loss must have one entry an example each; they have {lengths}"
            )
        if count and batch[0].dtype not in _WHOLE:
            raise ConfigError(f"indices must be whole numbers, not {batch[0].dtype}")
        self._last_step = step
        if count:
            self._waiting.append(batch)
            self._waiting_visits += count
        if self._waiting_visits >= _WAITING:
            self._take_up()

    def flush(self) -> dict[int, bytes]:
        """Return the passes that changed since the last flush, packed, by their number.

        Raises:
            ConfigError: If indices were negative or above 33 million; the visits that waited with them are lost.
        """
        self._take_up()
        blobs = {number: packed(self._codes(number)[: self._examples]) for number in sorted(self._changed)}
        self._changed.clear()
        self._let_go(blobs)
        return blobs

    def flush_again(self, passes: Iterable[int]) -> None:
        """Have the next flush give these passes again, which the last one gave in vain, as on a full disk."""
        self._changed.update(number for number in passes if number < self._begun)

    def _take_up(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_visits = self._waiting, [], 0
        indices = _joined([batch[0] for batch in waiting], torch.int64)
        least, most = int(indices.min()), int(indices.max())
        if least < 0 or most >= _MOST_EXAMPLES:
            wrong = least if least < 0 else most
            raise ConfigError(
                f"the index {wrong} is not that of a training example: 0 to {_MOST_EXAMPLES - 1:,}"
            )
        correct = _joined([batch[1] for batch in waiting], torch.bool)
        loss = _joined([batch[2] for batch in waiting], torch.float32)
        self._grow(most + 1)
        # Sorted by example, in the order of the visits: the k-th of one example is that many passes after the first.
        order = np.argsort(indices, kind="stable")
        indices = indices[order]
        places = np.arange(len(indices))
        first = np.maximum.accumulate(np.where(np.diff(indices, prepend=-1) > 0, places, 0))
        passes = self._visited[indices] + (places - first)
        self._visited[indices] = passes + 1  # of several the last, which is the largest
        self._write(passes, indices, coded(correct, loss)[order])

    def _write(self, passes: NDArray[np.int64], indices: NDArray[np.int64], codes: Codes) -> None:
        most = min(_MOST_PASSES, _MOST_CODES // self._examples)
        # By pass, and cut there: as many steps as there are visits, however many passes they are of.
        order = np.argsort(passes, kind="stable")
        passes, indices, codes = passes[order], indices[order], codes[order]
        starts = np.flatnonzero(np.diff(passes, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(passes)], strict=True):
            number = int(passes[start])
            if number >= most:
                break
            self._codes(number)[indices[start:end]] = codes[start:end]
            self._changed.add(number)

    def _codes(self, number: int) -> Codes:
        """Return the codes of a pass, of all examples so far at least; writing there changes the pass."""
        codes = self._passes.get(number)
        if codes is None:
            known = number < self._begun and self._recall is not None
            codes = unpacked(self._recall(number)) if known and self._recall else np.zeros(0, np.uint8)
            self._begun = max(self._begun, number + 1)
        if len(codes) < self._examples:
            codes = _grown(codes, self._examples)
        self._passes[number] = codes
        return codes

    def _grow(self, examples: int) -> None:
        if examples > self._examples:
            self._examples = examples
            if examples > len(self._visited):
                self._visited = _grown(self._visited, examples)

    def _let_go(self, keep: Iterable[int] = ()) -> None:
        """Forget passes that are complete, if they can be had again."""
        if self._recall is None or len(self._passes) < 3:
            return
        visited = self._visited[: self._examples]
        # In a first epoch in order all examples so far were visited, and yet more come: so one pass more than complete.
        complete = int(visited[visited > 0].min(initial=self._begun)) - 1
        for number in [number for number in self._passes if number < complete and number not in keep]:
            del self._passes[number]


def _copied(name: str, values: Numbers) -> Tensor:
    """Return a copy that later changes of `values` don't reach; without waiting, on an accelerator."""
    if not isinstance(values, torch.Tensor):
        try:
            values = torch.from_numpy(np.array(values))
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{name} must be numbers, one for each example: {error}") from error
    if values.ndim != 1 or values.is_complex():
        hint = ", as a loss with reduction='none' gives" if name == "loss" else ""
        shape = tuple(values.shape)
        raise ConfigError(
            f"{name} must be one number for each example{hint}: of shape (b,), not {shape} of {values.dtype}"
        )
    return (values.detach() if values.requires_grad else values).clone()


def _joined(parts: list[Tensor], dtype: torch.dtype) -> NDArray[Any]:
    if len({(part.device, part.dtype) for part in parts}) > 1:
        parts = [part.to("cpu", dtype) for part in parts]
    joined: NDArray[Any] = torch.cat(parts).to(dtype).cpu().numpy()
    return joined


def _grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return a longer copy, with zeros behind, and half as much again so that this is seldom."""
    longer = np.zeros(max(length, len(array) * 3 // 2), array.dtype)
    longer[: len(array)] = array
    return longer
