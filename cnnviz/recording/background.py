"""Writing in a thread of its own, for trainings that must not wait for the disk: on accelerators, or several ranks."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from cnnviz.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from cnnviz.recording.writer import Ending, Record, RunWriter

# Bounds what may wait: a disk that is slower than the training holds it up only beyond that.
MOST_BYTES = 1 << 30
# What a record takes in memory beside its tensors, about, and each of its metrics.
_RECORD_BYTES = 1000
_METRIC_BYTES = 200


class _Waiting(NamedTuple):
    record: Record
    numbers: dict[str, Tensor]
    bytes: int
    copied: list[torch.cuda.Event]


class BackgroundWriter:
    """Hands records to a RunWriter in another thread, in order.

    A snapshot is copied at once, on an accelerator into pinned memory and without waiting for it: whoever trains
    on may change the weights right after. One record is taken however large it is; further ones wait until there is
    room.
    """

    def __init__(self, writer: RunWriter, most_bytes: int = MOST_BYTES) -> None:
        self._writer = writer
        self._most_bytes = most_bytes
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._work, name="cnnviz-recorder", daemon=True)
        self._thread.start()
        atexit.register(self._at_exit)

    def put(self, record: Record, numbers: Mapping[str, Tensor]) -> None:
        """Take a record; wait first if with it more than `most_bytes` would wait.

        Args:
            record: What to write; its state's tensors on any device, which may change after this returns.
            numbers: Metrics that lie on an accelerator, each of one element: read once they have been computed.

        Raises:
            RunError: If the thread has ended.
        """
        size = _size(record)
        with self._changed:
            self._wait(lambda: not self._bytes or self._bytes + size <= self._most_bytes)
        state = None if record.state is None else {name: _copy(t) for name, t in record.state.items()}
        copies = {name: _copy(tensor) for name, tensor in numbers.items()}
        events = _mark([*(record.state or {}).values(), *numbers.values()])
        with self._changed:
            self._queue.append(_Waiting(replace(record, state=state), copies, size, events))
            self._bytes += size
            self._changed.notify_all()

    def check(self) -> None:
        """Look, without waiting, whether all that is written by now could be written.

        Raises:
            CnnvizError: What a record met in the thread; told once.
        """
        with self._changed:
            error, self._error = self._error, None
        if error is not None:
            raise error

    def flush(self) -> None:
        """Wait until all that was taken is written.

        Raises:
            CnnvizError: What a record met in the thread.
        """
        with self._changed:
            self._wait(lambda: not self._bytes)
        self.check()

    def close(self, status: Ending, detail: str) -> None:
        """Write all that waits, and end the run."""
        try:
            self.flush()
        finally:
            atexit.unregister(self._at_exit)
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._thread.join()
            self._writer.close(status, detail)

    def _wait(self, until: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: until() or not self._thread.is_alive())
        if not self._thread.is_alive():
            raise RunError(f"{self._writer.layout.root} is not written any more: its thread has ended")

    def _at_exit(self) -> None:
        if os.getpid() == self._process:  # a forked process has no such thread, but may hold its lock
            self.flush()

    def _work(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                self._write(waiting)
            except Exception as error:  # told to whoever records next
                self._error = self._error or error
            size = waiting.bytes
            del waiting  # its memory is free from now on, however long the next one is waited for
            with self._changed:
                self._bytes -= size
                self._changed.notify_all()

    def _write(self, waiting: _Waiting) -> None:
        for event in waiting.copied:
            event.synchronize()
        numbers = {name: float(tensor.item()) for name, tensor in waiting.numbers.items()}
        self._writer.put(replace(waiting.record, metrics={**waiting.record.metrics, **numbers}))

    def _next(self) -> _Waiting | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended)
            return self._queue.popleft() if self._queue else None


def _size(record: Record) -> int:
    """Return how many bytes a record takes in memory, about; never 0."""
    tensors = sum(tensor.numel() * tensor.element_size() for tensor in (record.state or {}).values())
    examples = sum(len(codes) for codes in record.examples.values())
    return tensors + examples + len(record.metrics) * _METRIC_BYTES + _RECORD_BYTES


def _copy(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    if tensor.device.type != "cuda":
        return tensor.cpu() if tensor.device.type != "cpu" else tensor.clone()
    target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return target.copy_(tensor, non_blocking=True)


def _mark(tensors: list[Tensor]) -> list[torch.cuda.Event]:
    """Return events that come when the copies of these tensors are done, one a device."""
    events = []
    for device in {tensor.device for tensor in tensors if tensor.device.type == "cuda"}:
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(device))
        events.append(event)
    return events
