"""A disk that is full or lost for a while: what is missing for it, and when to try again."""

from __future__ import annotations

import time
import warnings

from cnnviz.errors import RecordingWarning
from cnnviz.recording.store import Missing

# A training must not be slowed by a disk that fails slowly: no more than a twentieth of the time goes into trying.
_PATIENCE = 20.0


class Outage:
    """Counts what could not be written."""

    def __init__(self, where: str, missing: Missing) -> None:
        self._where = where
        self._warned = False
        self._open = False
        self._not_before = 0.0
        self.missing = missing

    def may_try(self) -> bool:
        """Say whether enough time passed since the last failure."""
        return time.monotonic() >= self._not_before

    def failed(self, error: Exception, seconds: float) -> None:
        """Note that the disk could not take what it should, which took so many seconds; warn the first time."""
        self._not_before = time.monotonic() + _PATIENCE * seconds
        self.missing = Missing(self.missing.spans, str(error))
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._where} can't be written: {error}. The training goes on; snapshots are missing from the run "
                "until there is room again, and cnnviz show tells which",
                RecordingWarning,
                stacklevel=2,
            )

    def lost(self, step: int) -> None:
        """Note that the snapshot of `step` is missing."""
        spans = list(self.missing.spans)
        if self._open and spans and step > spans[-1][1]:
            first, _, count = spans[-1]
            spans[-1] = (first, step, count + 1)
        else:
            spans.append((step, step, 1))
        self._open = True
        self.missing = Missing(tuple(sorted(spans)), self.missing.reason)

    def over(self) -> None:
        """Note that a snapshot could be written again."""
        self._open = False
