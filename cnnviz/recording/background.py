"""Writing in a thread of its own, for trainings that must not wait for the disk: on accelerators, or several ranks."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cnnviz.recording.writer import Ending, Record, RunWriter

# Bounds what may wait: a disk that is slower than the training holds it up only beyond that.
MOST_BYTES = 1 << 30


class _Waiting(NamedTuple):
    record: Record
    numbers: dict[str, Tensor]
    bytes: int
    copied: list[torch.cuda.Event]


class BackgroundWriter:
    """Hands records to a RunWriter in another thread, in order.

    A snapshot is copied at once, on an accelerator into pinned memory and without waiting for it: whoever trains
    on may change the weights right after. At least one record is taken however large it is; further ones wait
    until there is room.
    """

    def __init__(self, writer: RunWriter, most_bytes: int = MOST_BYTES) -> None:
        self._writer = writer
        self._most_bytes = most_bytes
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._busy = False
        self._ended = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="cnnviz-recorder", daemon=True)
        self._thread.start()
        atexit.register(self.flush)

    def put(self, record: Record, numbers: Mapping[str, Tensor]) -> None:
        """Take a record; wait only if more than `most_bytes` wait already.

        Args:
            record: What to write; its state's tensors on any device, which may change after this returns.
            numbers: Metrics that lie on an accelerator, each of one element: read once they have been computed.

        Raises:
            CnnvizError: What an earlier record met in the thread.
        """
        state = None if record.state is None else {name: _copy(t) for name, t in record.state.items()}
        copies = {name: _copy(tensor) for name, tensor in numbers.items()}
        events = _mark([*(record.state or {}).values(), *numbers.values()])
        size = sum(t.nbytes for t in (state or {}).values())
        with self._changed:
            self._changed.wait_for(lambda: not self._queue or self._bytes + size <= self._most_bytes)
            self._raise()
            self._queue.append(_Waiting(replace(record, state=state), copies, size, events))
            self._bytes += size
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all that was taken is written.

        Raises:
            CnnvizError: What a record met in the thread.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (not self._queue and not self._busy) or not self._thread.is_alive()
            )
            self._raise()

    def close(self, status: Ending, detail: str) -> None:
        """Write all that waits, and end the run."""
        try:
            self.flush()
        finally:
            atexit.unregister(self.flush)
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._thread.join()
            self._writer.close(status, detail)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                waiting = self._queue.popleft()
                self._busy = True
            try:
                for event in waiting.copied:
                    event.synchronize()
                numbers = {name: float(tensor.item()) for name, tensor in waiting.numbers.items()}
                record = waiting.record
                self._writer.put(replace(record, metrics={**record.metrics, **numbers}))
            except Exception as error:  # told to whoever records next
                self._error = self._error or error
            finally:
                with self._changed:
                    self._bytes -= waiting.bytes
                    self._busy = False
                    self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error


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
